"""The tables of the journal, for both stores, and how an older store becomes a newer one.

Times are microseconds since the epoch. Sealed columns are `durable/seal.py`'s; everything else is names,
states and counts. Written in SQLite's types (`TEXT`, `INTEGER` of 64 bits, `BLOB`); `postgres_schema.py`
reads them as its own. A column named as PostgreSQL's role stands in quotes: `"user"`.
"""

from __future__ import annotations

from typing import Final

#: Forward only: version n is made of version n - 1 by `STEPS[n - 1]`; never change one that was released.
STEPS: Final = (
    """
    CREATE TABLE instance (id TEXT PRIMARY KEY, epoch INTEGER NOT NULL, started INTEGER NOT NULL) STRICT;
    CREATE TABLE owner_key (owner TEXT PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
    CREATE TABLE run (
        id TEXT PRIMARY KEY, domain TEXT NOT NULL, agent TEXT NOT NULL, "user" TEXT NOT NULL,
        state TEXT NOT NULL, attempt INTEGER NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL,
        calls INTEGER NOT NULL DEFAULT 0, replays INTEGER NOT NULL DEFAULT 0,
        details TEXT NOT NULL, sealed_keys BLOB NOT NULL, sealed_result BLOB
    ) STRICT;
    CREATE INDEX run_updated ON run (updated);
    CREATE TABLE call (
        id TEXT PRIMARY KEY, place BLOB NOT NULL UNIQUE,
        domain TEXT NOT NULL, agent TEXT NOT NULL, "user" TEXT NOT NULL,
        run TEXT, run_attempt INTEGER NOT NULL, key TEXT, fingerprint BLOB NOT NULL, occurrence INTEGER NOT NULL,
        step INTEGER NOT NULL, kind TEXT NOT NULL, resource TEXT NOT NULL, action TEXT NOT NULL, effect TEXT NOT NULL,
        state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', attempt INTEGER NOT NULL,
        instance TEXT NOT NULL, epoch INTEGER NOT NULL, granted INTEGER NOT NULL DEFAULT 0,
        replays INTEGER NOT NULL DEFAULT 0, digests TEXT NOT NULL, milliseconds_max INTEGER NOT NULL,
        intent_time INTEGER NOT NULL, sent_time INTEGER NOT NULL, outcome_time INTEGER,
        form TEXT, status INTEGER, media TEXT, meta TEXT,
        sealed_request BLOB NOT NULL, sealed_outcome BLOB
    ) STRICT;
    CREATE INDEX call_in_run ON call (run, step) WHERE run IS NOT NULL;
    CREATE INDEX call_unsettled ON call (state) WHERE state IN ('intent', 'doubt');
    CREATE TABLE cursor (
        run TEXT NOT NULL, attempt INTEGER NOT NULL, fingerprint BLOB NOT NULL, occurrence INTEGER NOT NULL,
        PRIMARY KEY (run, attempt, fingerprint)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE use (
        run TEXT NOT NULL, digest BLOB NOT NULL, call TEXT NOT NULL,
        asked INTEGER NOT NULL DEFAULT 0, shown INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (run, digest, call)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE vault (
        scope TEXT NOT NULL, token TEXT NOT NULL, entity TEXT NOT NULL, sealed BLOB NOT NULL,
        PRIMARY KEY (scope, token)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE audit (
        sequence INTEGER PRIMARY KEY, chain TEXT NOT NULL, number INTEGER NOT NULL,
        record TEXT NOT NULL, hash BLOB NOT NULL, UNIQUE (chain, number)
    ) STRICT;
    """,
    """
    ALTER TABLE instance ADD COLUMN lease_until INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE instance ADD COLUMN ended INTEGER;
    ALTER TABLE run ADD COLUMN kind TEXT NOT NULL DEFAULT 'open';
    ALTER TABLE run ADD COLUMN target TEXT;
    ALTER TABLE run ADD COLUMN sealed_input BLOB;
    ALTER TABLE run ADD COLUMN due INTEGER;
    ALTER TABLE run ADD COLUMN deadline INTEGER;
    ALTER TABLE run ADD COLUMN attempts_max INTEGER;
    ALTER TABLE run ADD COLUMN reason TEXT NOT NULL DEFAULT '';
    ALTER TABLE run ADD COLUMN waiting TEXT;
    ALTER TABLE run ADD COLUMN labels TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE run ADD COLUMN parent TEXT;
    ALTER TABLE run ADD COLUMN fork_step INTEGER;
    ALTER TABLE run ADD COLUMN instance TEXT;
    ALTER TABLE run ADD COLUMN epoch INTEGER;
    CREATE INDEX run_due ON run (due) WHERE due IS NOT NULL;
    ALTER TABLE call ADD COLUMN rule TEXT NOT NULL DEFAULT '';
    ALTER TABLE call ADD COLUMN forked_from TEXT;
    ALTER TABLE call ADD COLUMN diverges TEXT;
    CREATE INDEX call_settled ON call (outcome_time) WHERE outcome_time IS NOT NULL;
    CREATE TABLE approval (
        id TEXT PRIMARY KEY, place BLOB NOT NULL, run TEXT, run_attempt INTEGER NOT NULL,
        domain TEXT NOT NULL, agent TEXT NOT NULL, "user" TEXT NOT NULL,
        resource TEXT NOT NULL, action TEXT NOT NULL, demands TEXT NOT NULL, requesters TEXT NOT NULL,
        arguments BLOB NOT NULL, policy TEXT NOT NULL, rule TEXT NOT NULL, sealed_shown BLOB NOT NULL,
        state TEXT NOT NULL, votes TEXT NOT NULL DEFAULT '[]',
        asked INTEGER NOT NULL, expires INTEGER NOT NULL, decided INTEGER
    ) STRICT;
    CREATE UNIQUE INDEX approval_open ON approval (place) WHERE state IN ('pending', 'approved');
    CREATE INDEX approval_state ON approval (state, expires);
    CREATE TABLE tombstone (name BLOB PRIMARY KEY, purged INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE mark (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE TABLE writer (instance TEXT PRIMARY KEY, session INTEGER NOT NULL, written INTEGER NOT NULL) STRICT;
    """,
    """
    ALTER TABLE vault ADD COLUMN used INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX vault_used ON vault (used) WHERE substr(scope, 1, 4) <> 'run/';
    CREATE INDEX call_alone ON call (intent_time) WHERE run IS NULL;
    CREATE INDEX run_ended ON run (state, updated);
    ALTER TABLE approval ADD COLUMN call TEXT;
    CREATE INDEX approval_of_call ON approval (call) WHERE call IS NOT NULL;
    """,
    # nothing that changes with every call of a run is in an index of it: rows are then updated in place
    """
    DROP INDEX run_updated;
    DROP INDEX run_ended;
    DROP INDEX call_settled;
    CREATE INDEX run_state ON run (state, created);
    CREATE INDEX run_created ON run (created);
    """,
    """
    CREATE TABLE budget (
        counter TEXT NOT NULL, bucket INTEGER NOT NULL,
        name TEXT NOT NULL, measure TEXT NOT NULL, subject TEXT NOT NULL, most INTEGER NOT NULL,
        spent INTEGER NOT NULL DEFAULT 0, reserved INTEGER NOT NULL DEFAULT 0, kept_until INTEGER NOT NULL,
        PRIMARY KEY (counter, bucket)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX budget_name ON budget (name, bucket);
    CREATE INDEX budget_kept ON budget (kept_until);
    ALTER TABLE call ADD COLUMN charges TEXT;
    """,
    """
    CREATE TABLE provider_object (
        id TEXT NOT NULL, origin TEXT NOT NULL, domain TEXT NOT NULL, agent TEXT NOT NULL, "user" TEXT NOT NULL,
        resource TEXT NOT NULL, received INTEGER NOT NULL,
        PRIMARY KEY (id, domain, agent, "user", origin)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX provider_object_received ON provider_object (received);
    """,
    """
    CREATE TABLE tool_definition (
        server TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, hash TEXT NOT NULL,
        state TEXT NOT NULL, current INTEGER NOT NULL, sealed BLOB NOT NULL, findings TEXT NOT NULL,
        seen INTEGER NOT NULL, decided INTEGER, decider TEXT NOT NULL DEFAULT '-', reason TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (server, kind, name, hash)
    ) STRICT;
    CREATE UNIQUE INDEX tool_definition_current ON tool_definition (server, kind, name) WHERE current = 1;
    """,
    # a prefix of a chain goes only under a signed statement that stays; who a person is goes without touching a chain
    """
    CREATE TABLE audit_anchor (
        chain TEXT NOT NULL, number INTEGER NOT NULL, line TEXT NOT NULL, PRIMARY KEY (chain, number)
    ) STRICT;
    CREATE TABLE audit_cursor (
        sink TEXT NOT NULL, chain TEXT NOT NULL, number INTEGER NOT NULL, moved INTEGER NOT NULL,
        PRIMARY KEY (sink, chain)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE audit_person (
        lookup BLOB PRIMARY KEY, alias TEXT NOT NULL UNIQUE, sealed BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX call_held ON call (state) WHERE state = 'held';
    """,
    """
    CREATE TABLE block (
        subject TEXT PRIMARY KEY, reason TEXT NOT NULL, blocker TEXT NOT NULL, since INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE seen (digest BLOB PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE INDEX seen_until ON seen (until);
    """,
    # what policy put on a call, and how much of its run's past it was decided on (`durable/history.py`)
    """
    ALTER TABLE call ADD COLUMN labels TEXT;
    ALTER TABLE call ADD COLUMN seen INTEGER;
    CREATE INDEX call_labelled ON call (domain, agent, intent_time) WHERE labels IS NOT NULL;
    """,
    # labels that came to somebody with a run: to who does its work, and to who has got its result
    """
    CREATE TABLE carried (
        domain TEXT NOT NULL, agent TEXT NOT NULL, "user" TEXT NOT NULL, run TEXT NOT NULL, labels TEXT NOT NULL,
        since INTEGER NOT NULL, latest INTEGER NOT NULL,
        PRIMARY KEY (domain, agent, "user", run, labels)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX carried_by ON carried (run);
    CREATE INDEX carried_latest ON carried (latest);
    """,
    # what servers asked people to fill in, for the answer that another process gets (`durable/forms.py`)
    """
    CREATE TABLE form (
        name TEXT PRIMARY KEY, server TEXT NOT NULL, sealed BLOB NOT NULL, asked INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX form_of_server ON form (server, asked);
    CREATE INDEX form_asked ON form (asked);
    """,
)
SCHEMA_VERSION: Final = len(STEPS)
