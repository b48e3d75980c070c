"""Requirements of this area: id, text, source."""

from __future__ import annotations

from tests.requirement import Requirement

_ADMIN = "DESIGN section 7, admin listener"
_COMMANDS = "DESIGN section 13"
_RUNS = "DESIGN section 6, runs"

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("CLI-01", "The admin listener answers nothing but its health without a credential.", _ADMIN),
    Requirement("CLI-02", "Policy decides every admin request, and a denied one is audited.", _ADMIN),
    Requirement(
        "CLI-03", "Foreign hosts and origins are refused; no cross-origin access is granted.", "DESIGN section 3"
    ),
    Requirement("CLI-04", "Calls are listed newest first by known filters; an unknown one is an error.", _COMMANDS),
    Requirement("CLI-05", "A run is shown as a timeline of its calls.", "issue 3 point 8"),
    Requirement(
        "CLI-06", "An operator's outcome is journaled in the call's form, redacted, with who and why.", "issue 3"
    ),
    Requirement("CLI-07", "Only a call in doubt can be settled, and only by a complete decision.", _COMMANDS),
    Requirement("CLI-08", "Bad bodies and an absent journal are refused as problem details.", "RFC 9457"),
    Requirement("CLI-09", "The admin API describes itself as OpenAPI 3.1.", _ADMIN),
    Requirement("CLI-10", "The Unix socket answers only processes of the gateway's own user.", _COMMANDS),
    Requirement("CLI-11", "The socket is 0600 from its first instant and replaces only a socket.", _COMMANDS),
    Requirement("CLI-12", "Listings are tables for people, one JSON array for programs, and inert text.", _COMMANDS),
    Requirement("CLI-13", "`calls resolve` settles a call in doubt once; otherwise it exits 1 or 2.", _COMMANDS),
    Requirement("CLI-14", "Exit codes: 0 done, 1 a no, 2 usage or configuration, 3 unreachable.", _COMMANDS),
    Requirement("CLI-15", "A supervised command that dies is started again: same run, next attempt, bounded.", _RUNS),
    Requirement("CLI-16", "The child gets the gateway's URLs and run token by environment, and no other key.", _RUNS),
    Requirement("CLI-17", "A stopping signal is passed on, and the run stays open to be continued.", _RUNS),
    Requirement("CLI-18", "The supervisor waits for an absent gateway, bounded, and spends no attempt on it.", _RUNS),
    Requirement("CLI-19", "A run is opened only by whom it belongs to, and not when it is over.", _RUNS),
    Requirement("CLI-20", "Outside development no child is started that could read the gateway's keys.", _COMMANDS),
    Requirement("CLI-21", "`audit verify` names the first record that does not hold and exits 1.", _COMMANDS),
    Requirement("CLI-22", "`audit export` writes every record as it was hashed, one JSON object a line.", _COMMANDS),
    Requirement("CLI-23", "`doctor` looks at what is needed, says what to do, exits 1 on a failure.", "issue 9"),
    Requirement("CLI-24", "Every command listed can be run, and listing loads no engine.", _COMMANDS),
    Requirement("CLI-30", "A store is migrated and copied by command; a copy overwrites nothing.", _COMMANDS),
    Requirement("CLI-31", "`doctor` says how the store stands: damage, schema, past, doubts, old seals.", "issue 4"),
    Requirement("CLI-32", "A rolled-back store is accepted by an operator, with a reason, audited.", "DESIGN 5"),
)
