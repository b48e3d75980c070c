"""One file of cases: a list, each case a question and what must come of it, read strictly."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, cast
from urllib.parse import unquote

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from policy.decision import ACTIONS, Obligations, Principal, Question
from policy.history import LABEL, History, Tally
from policy.lines import Problem, nearest
from policy.obligations import ObligationUnusable, parse_obligations
from policy.resources import UnusableName, resource_name

if TYPE_CHECKING:
    from collections.abc import Mapping

CASES_MAX: Final = 10_000
_FIELDS: Final = frozenset({
    "name", "as", "domain", "roles", "groups", "on_behalf_of", "user_roles", "actors", "resource", "resource_domain",
    "action", "args", "time", "run", "expect", "rule", "obligations", "table",
})  # fmt: skip
_EXPECTED: Final = ("allow", "deny", "approval")
#: Cases have no clock; conditions on the time name theirs.
_TIME: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A question and what must come of it; `rule` and `obligations` are `None` where the case does not say."""

    file: str
    line: int
    name: str
    question: Question
    expect: Literal["allow", "deny", "approval"]
    rule: str | None
    obligations: Obligations | None


class CaseUnusable(ValueError):  # noqa: N818 - says what is known of the case
    """A case cannot be read."""


def read_cases(file: str, text: str, problems: list[Problem]) -> list[Case]:
    """Return the cases in `text`, a YAML list; what is wrong with others goes into `problems`."""
    try:
        tree: object = YAML(typ="rt", pure=True).load(text)  # pyright: ignore[reportUnknownMemberType] - untyped
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = 1 if mark is None else cast("int", mark.line) + 1
        problems.append(Problem(file, line, "not usable YAML (a name twice, or a syntax error)"))
        return []
    if tree is None:
        return []
    if not isinstance(tree, list) or len(cast("list[object]", tree)) > CASES_MAX:
        problems.append(Problem(file, 1, f"expected a list of at most {CASES_MAX} cases"))
        return []
    cases: list[Case] = []
    for item in cast("list[object]", tree):
        line = cast("int", getattr(getattr(item, "lc", None), "line", 0)) + 1
        try:
            rows = _rows(item, line)
        except CaseUnusable as error:
            problems.append(Problem(file, line, str(error)))
            continue
        for at, row in rows:
            try:
                cases.append(_case(file, at, row))
            except CaseUnusable as error:
                problems.append(Problem(file, at, str(error)))
    if len(cases) > CASES_MAX:
        problems.append(Problem(file, 1, f"expected at most {CASES_MAX} cases"))
    return cases


def _rows(item: object, line: int) -> list[tuple[int, object]]:
    """Return the cases an item stands for: one, or one for each row of its `table` with what all of them share."""
    if not isinstance(item, dict) or "table" not in item:
        return [(line, cast("object", item))]
    shared = {key: value for key, value in cast("dict[object, object]", item).items() if key != "table"}
    table = cast("object", item["table"])
    if not isinstance(table, list) or not table:
        raise CaseUnusable("`table`: expected a list of rows, each a map")
    rows: list[tuple[int, object]] = []
    for row in cast("list[object]", table):
        if not isinstance(row, dict) or "table" in row:
            raise CaseUnusable("`table`: expected a list of rows, each a map")
        at = cast("int", getattr(getattr(cast("object", row), "lc", None), "line", line - 1)) + 1
        own = cast("dict[object, object]", row)
        if again := next((key for key in own if key in shared and key != "name"), None):
            raise CaseUnusable(f"`table`: a row says `{again}` again, which all of them share")
        rows.append((at, shared | own))
    return rows


def subject(text: str, domain: str | None) -> tuple[str, str]:
    """Return agent and trust domain of `agent:<domain>/<name>`, or of `agent:<name>` with `domain` beside it.

    Raises `CaseUnusable`.
    """
    kind, colon, name = text.partition(":")
    if kind != "agent" or not colon or not name:
        raise CaseUnusable(f"`{text}`: expected `agent:<domain>/<name>`")
    if domain is not None:
        return name.removeprefix(f"{domain}/"), domain
    place, slash, agent = name.partition("/")
    if not slash or not place or not agent:
        raise CaseUnusable(f"`{text}`: expected a trust domain, as in `agent:<domain>/<name>`")
    return agent, place


def checked_resource(text: str) -> str:
    """Return the resource name `text` if that is how the gateway would write it. Raises `CaseUnusable`."""
    try:
        name = resource_name(*(unquote(part, errors="strict") for part in text.split("/")))
    except (UnusableName, UnicodeDecodeError) as error:
        raise CaseUnusable(f"resource `{text}`: {error}") from None
    if name != text:
        raise CaseUnusable(f"resource `{text}`: no call has this name; write it `{name}`")
    return name


def checked_action(text: str) -> str:
    """Return the action `text`. Raises `CaseUnusable`."""
    if text not in ACTIONS:
        known = ", ".join(sorted(ACTIONS))
        raise CaseUnusable(f"unknown action `{text}`; expected one of {known}{nearest(text, ACTIONS)}")
    return text


def _case(file: str, line: int, item: object) -> Case:
    if not isinstance(item, dict):
        raise CaseUnusable("expected a map with `as`, `resource` and `expect`")
    fields = cast("Mapping[str, object]", _plain(cast("object", item)))
    for field in fields:
        if field not in _FIELDS:
            raise CaseUnusable(f"unknown field `{field}`{nearest(field, _FIELDS)}")
    expect = _text(fields, "expect")
    if expect != "allow" and expect != "deny" and expect != "approval":  # noqa: PLR1714 - narrows the type
        raise CaseUnusable(f"`expect: {expect}`: expected one of {', '.join(_EXPECTED)}{nearest(expect, _EXPECTED)}")
    question = _question(fields)
    return Case(
        file=file, line=line, expect=expect, question=question,
        name=_maybe(fields, "name") or f"{_text(fields, 'as')} {question.action} {question.resource}",
        rule=_maybe(fields, "rule"), obligations=_obligations(_maybe(fields, "obligations")),
    )  # fmt: skip


def _question(fields: Mapping[str, object]) -> Question:
    agent, domain = subject(_text(fields, "as"), _maybe(fields, "domain"))
    user = _maybe(fields, "on_behalf_of")
    principal = Principal(
        agent=agent, domain=domain, method="api_key", roles=frozenset(_names(fields, "roles")),
        groups=frozenset(_names(fields, "groups")), user=user.removeprefix("user:") if user else None,
        user_roles=frozenset(_names(fields, "user_roles")), actors=tuple(_names(fields, "actors")),
    )  # fmt: skip
    return Question(
        principal=principal, resource=checked_resource(_text(fields, "resource")),
        resource_domain=_maybe(fields, "resource_domain") or domain, arguments=fields.get("args"),
        action=checked_action(_maybe(fields, "action") or "call"), time=read_time(fields.get("time")),
        run=read_history(fields.get("run")),
    )  # fmt: skip


def read_history(value: object) -> History | None:
    """Return what the run did before, written as `{labels: [name], calls: [resource, {resource: …, times: 3}]}`.

    A call with `finished: false` was begun and has no outcome. Raises `CaseUnusable`.
    """
    if value is None:
        return None
    fields = _map("run", value, {"labels", "calls"})
    labels = _names(fields, "labels")
    if wrong := next((name for name in labels if not LABEL.fullmatch(name)), None):
        raise CaseUnusable(f"`run`: `{wrong}` is no label; expected a name of a-z 0-9 . _ -")
    calls: dict[str, Tally] = {}
    listed = fields.get("calls", [])
    if not isinstance(listed, list):
        raise CaseUnusable("`run`: expected a list of `calls`")
    for item in cast("list[object]", listed):
        resource, times, finished = _call(item)
        before = calls.get(resource, Tally(0, 0))
        calls[resource] = Tally(before.begun + times, before.finished + (times if finished else 0))
    return History(calls=calls, labels=frozenset(labels))


def _call(item: object) -> tuple[str, int, bool]:
    if isinstance(item, str):
        return checked_resource(item), 1, True
    fields = _map("calls", item, {"resource", "times", "finished"})
    times, finished = fields.get("times", 1), fields.get("finished", True)
    if not isinstance(times, int) or isinstance(times, bool) or times < 1 or not isinstance(finished, bool):
        raise CaseUnusable("`calls`: expected `times` as a number from 1 and `finished` as true or false")
    return checked_resource(_text(fields, "resource")), times, finished


def _map(name: str, value: object, known: set[str]) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise CaseUnusable(f"`{name}`: expected a map")
    fields = cast("dict[str, object]", value)
    if unknown := next((field for field in fields if field not in known), None):
        raise CaseUnusable(f"`{name}`: unknown field `{unknown}`{nearest(unknown, known)}")
    return fields


def _text(fields: Mapping[str, object], name: str) -> str:
    value = _maybe(fields, name)
    if value is None:
        raise CaseUnusable(f"`{name}` is missing")
    return value


def _maybe(fields: Mapping[str, object], name: str) -> str | None:
    value = fields.get(name)
    if value is not None and (not isinstance(value, str) or not value):
        raise CaseUnusable(f"`{name}`: expected a text")
    return value


def _names(fields: Mapping[str, object], name: str) -> list[str]:
    value = fields.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in cast("list[object]", value)):
        raise CaseUnusable(f"`{name}`: expected a list of names without prefix")
    return [one.partition(":")[2] or one for one in cast("list[str]", value)]


def read_time(value: object) -> float:
    """Return a time as seconds since the epoch; UTC where no zone is said. Raises `CaseUnusable`."""
    if value is None:
        return _TIME.timestamp()
    try:
        when = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise CaseUnusable("`time`: expected a time as in `2026-01-01T12:00:00Z`") from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _obligations(text: str | None) -> Obligations | None:
    if text is None:
        return None
    try:
        return parse_obligations(text)
    except ObligationUnusable as error:
        raise CaseUnusable(f"`obligations`: {error}") from None


def _plain(value: object) -> object:
    """Return a YAML value in the plain types that a parsed body has."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in cast("dict[object, object]", value).items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in cast("list[object]", value)]
    if value is None or isinstance(value, bool | datetime):
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    raise CaseUnusable("a value of a kind that JSON does not have")
