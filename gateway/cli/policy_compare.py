"""`oncegate policy diff` and `oncegate policy replay`: what another set would change, said before it counts."""

from __future__ import annotations

import asyncio
import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar, cast

import typer

from durable.beside import RecordedCall, of_postgres, of_sqlite, read_calls
from durable.chain import read_links
from durable.journal import JournalRefused
from durable.postgres import read_postgres_links
from durable.seal import Keyring
from gateway import body
from gateway.body import at
from gateway.cli import options
from gateway.cli.output import NO, USAGE, Column, Failure, note, print_json, print_table, stamp
from gateway.cli.target import read_config
from gateway.owners import user_and_actors
from gateway.secrets import SecretError
from policy.decision import Principal, Question
from policy.difference import Change, differences
from policy.replaying import Changed, Recorded, decided_again
from policy.resources import UnusableName, compile_pattern
from policy.source import PolicyInvalid, load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from durable.chain import Link
    from durable.sql import Read
    from gateway.config import Config
    from policy.source import PolicySet

Result = TypeVar("Result")

CALLS_MAX: Final = 1_000_000
_SPAN: Final = re.compile(r"([1-9][0-9]{0,5})([mhdw])")
_SECONDS: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


_Old = Annotated[Path, typer.Argument(metavar="OLD", help="A folder of policy files.")]
_New = Annotated[Path, typer.Argument(metavar="NEW", help="Another one.")]
_Against = Annotated[Path, typer.Option("--against", metavar="DIR", help="The folder of the new policy files.")]
_Expect = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Calls that may be lost: lines of principal, action and resource pattern."),
]


def diff(
    old: _Old,
    new: _New,
    *,
    as_json: options.JsonOption = False,
) -> None:
    """Say which principals gain or lose what between two sets; exits 1 when anything changes."""
    compared = differences(loaded(old).snapshot, loaded(new).snapshot)
    found = compared.changes
    if as_json:
        print_json([_change(one) for one in found])
    else:
        columns = [Column("principal", whole=True), Column("resource", whole=True), Column("in"), Column("action")]
        rows = [(one.principal, one.resource, one.domain, one.action, one.before, one.after) for one in found]
        print_table([*columns, Column("old"), Column("new")], rows, empty="nobody gains or loses anything")
    if compared.left:
        part = f"{compared.asked} of {compared.asked + compared.left} questions were compared"
        note(f"{part}, the last about `{compared.last}`; for the rest compare folders with fewer lines")
        raise typer.Exit(USAGE)
    raise typer.Exit(NO if found else 0)


def replay(
    *,
    against: _Against,
    since: Annotated[str, typer.Option(help="From when on: `24h`, `7d`, or a time (ISO 8601).")] = "24h",
    expect: _Expect = None,
    config: options.ConfigOption = options.CONFIG_DEFAULT,
    as_json: options.JsonOption = False,
) -> None:
    """Decide what was recorded again; exits 1 when a call that was made would be denied and is not expected to be."""
    found = read_config(config)
    domains = {"default", *found.trust_domains}
    expected = [] if expect is None else _expected(expect)
    recorded = _recorded(found, _since(since))
    changed = decided_again(loaded(against, domains=domains), recorded, label_seconds=found.runs.label_ttl_seconds)
    lost = [one for one in changed if one.lost and not any(_fits(one, *line) for line in expected)]
    if as_json:
        print_json({"decisions": len(recorded), "changed": [_again(one, one in lost) for one in changed]})
    else:
        _show(recorded, changed, lost)
    raise typer.Exit(NO if lost else 0)


def loaded(folder: Path, *, domains: set[str] | None = None) -> PolicySet:
    """Return the set in `folder`. Raises `Failure` with every problem."""
    try:
        return load(folder, domains=domains)
    except PolicyInvalid as invalid:
        raise Failure(USAGE, str(invalid)) from None


def read_store(config: Config, work: Read[Result]) -> Result:
    """Return what `work` reads in the configured store, beside a running gateway. Raises `Failure`."""
    try:
        if config.state.postgres is None:
            return of_sqlite(config.state.path, work)
        return asyncio.run(of_postgres(config.state.postgres, _password(config), work))
    except (JournalRefused, SecretError) as error:
        raise Failure(USAGE, str(error)) from None
    except FileNotFoundError:
        raise Failure(USAGE, f"`{config.state.path}`: expected a journal, there is no such file") from None


def keyring_of(config: Config) -> Keyring:
    """Return what opens the store's values. Raises `Failure`."""
    try:
        return Keyring(tuple(reference.read_key() for reference in config.secret_keys))
    except SecretError as error:
        raise Failure(USAGE, str(error)) from None


def _password(config: Config) -> str | None:
    return None if config.state_password is None else config.state_password.read()


def _since(text: str) -> float:
    span = _SPAN.fullmatch(text)
    if span is not None:
        return time.time() - int(span.group(1)) * _SECONDS[span.group(2)]
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise Failure(USAGE, "`--since`: expected `24h`, `7d` or a time as `2026-11-21T18:00:00Z`") from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _expected(file: Path) -> list[tuple[str, str, str]]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise Failure(USAGE, f"`{file}`: expected a readable file in UTF-8") from None
    lines: list[tuple[str, str, str]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            principal, action, pattern = words
            compile_pattern(pattern)
        except (ValueError, UnusableName):
            message = "expected a principal (or `*`), an action (or `*`) and a resource pattern"
            raise Failure(USAGE, f"{file}:{number}: {message}") from None
        lines.append((principal, action, pattern))
    return lines


def _fits(one: Changed, principal: str, action: str, pattern: str) -> bool:
    question = one.recorded.question
    return (
        principal in {"*", question.principal.name}
        and action in {"*", question.action}
        and compile_pattern(pattern).matches(question.resource)
    )


def _recorded(config: Config, since: float) -> list[Recorded]:
    """Return what was decided since then: calls with their arguments, refusals without: those were never kept."""
    keyring = keyring_of(config)
    calls = read_store(config, lambda tx: read_calls(tx, keyring, since, CALLS_MAX))
    said: dict[str, dict[str, object]] = {}
    refused: list[Recorded] = []
    for record in _audited(config):
        call, event = record.get("call"), record.get("event")
        if event == "decision" and isinstance(call, str):
            said[call] = record
        elif event == "refusal" and record.get("decision") == "deny" and "user" not in record:
            when = _time_of(record)
            if when >= since:
                refused.append(_refusal(record, when))
    found = [_call(one, said.get(one.id, {})) for one in calls]
    return sorted([*found, *refused], key=lambda one: one.question.time)


def _audited(config: Config) -> list[dict[str, object]]:
    async def gathered(url: str) -> list[Link]:
        return [link async for link in read_postgres_links(url, _password(config))]

    try:
        if config.state.postgres is None:
            links: Sequence[Link] = list(read_links(config.state.path))
        else:
            links = asyncio.run(gathered(config.state.postgres))
    except JournalRefused as error:
        raise Failure(USAGE, str(error)) from None
    return [cast("dict[str, object]", json.loads(link.text)) for link in links]


def _time_of(record: Mapping[str, object]) -> float:
    """Return when a record was begun: its id begins with milliseconds since the epoch."""
    name = record.get("audit")
    return int(name[:12], 16) / 1000 if isinstance(name, str) else 0.0


def _call(call: RecordedCall, record: Mapping[str, object]) -> Recorded:
    user, actors = user_and_actors(call.user)
    principal = _principal(record, call.agent, call.domain, user, actors)
    tree = body.parse(call.request)
    path = ("params", "arguments") if call.kind == "tool" else ("params",)
    arguments = at(tree, path) if call.resource.startswith("mcp/") else tree
    domain = record.get("domain")
    return Recorded(
        id=call.id, run=call.run, executed=True, effect=str(record.get("would") or record.get("decision", "allow")),
        rule=str(record.get("rule", "default")),
        question=Question(
            principal=principal, resource=call.resource, action=call.action, arguments=arguments, time=call.began,
            resource_domain=domain if isinstance(domain, str) else call.domain,
        ),
    )  # fmt: skip


def _refusal(record: Mapping[str, object], when: float) -> Recorded:
    domain, _, agent = str(record.get("principal", "")).removeprefix("agent:").partition("/")
    actors = tuple(cast("list[str]", record.get("actors", [])))
    question = Question(
        principal=_principal(record, agent, domain, None, actors), resource=str(record.get("resource", "")),
        resource_domain=str(record.get("domain", domain)), action=str(record.get("action", "call")), time=when,
    )  # fmt: skip
    run = record.get("run")
    return Recorded(
        id=str(record.get("audit", "")), run=run if isinstance(run, str) else None, executed=False, effect="deny",
        rule=str(record.get("rule", "default")), question=question,
    )  # fmt: skip


def _principal(
    record: Mapping[str, object], agent: str, domain: str, user: str | None, actors: tuple[str, ...]
) -> Principal:
    names = {name: frozenset(cast("list[str]", record.get(name, []))) for name in ("roles", "groups", "user_roles")}
    return Principal(
        agent=agent, domain=domain, method="gateway", user=user, actors=actors, roles=names["roles"],
        groups=names["groups"], user_roles=names["user_roles"],
    )  # fmt: skip


def _show(recorded: Sequence[Recorded], changed: Sequence[Changed], lost: Sequence[Changed]) -> None:
    rows = [
        (
            stamp(one.recorded.question.time), one.recorded.question.principal.name, one.recorded.question.action,
            one.recorded.question.resource, f"{one.recorded.effect} ({one.recorded.rule})",
            f"{one.decision.effect} ({one.decision.rule})",
        )
        for one in changed
    ]  # fmt: skip
    columns = [Column("when"), Column("principal", whole=True), Column("action"), Column("resource", whole=True)]
    print_table([*columns, Column("then"), Column("now")], rows, empty="nothing would be decided otherwise")
    note(f"{len(recorded)} decisions, {len(changed)} changed, {len(lost)} made calls lost that nobody expects to lose")


def _change(one: Change) -> dict[str, object]:
    return {
        "principal": one.principal, "resource": one.resource, "domain": one.domain, "action": one.action,
        "old": one.before, "new": one.after, "gains": one.gains, "loses": one.loses,
    }  # fmt: skip


def _again(one: Changed, lost: bool) -> dict[str, object]:
    question = one.recorded.question
    return {
        "id": one.recorded.id, "time": question.time, "principal": question.principal.name, "run": one.recorded.run,
        "resource": question.resource, "action": question.action, "made": one.recorded.executed, "lost": lost,
        "old": {"decision": one.recorded.effect, "rule": one.recorded.rule},
        "new": {"decision": one.decision.effect, "rule": one.decision.rule, "policies": one.decision.digest},
    }  # fmt: skip
