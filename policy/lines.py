"""Policy lines: one CSV line read strictly, with its place and its id."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from policy.decision import ACTIONS, LineRef, Obligations
from policy.obligations import ObligationUnusable, of_line, parse_obligations
from policy.resources import Pattern, UnusableName, compile_pattern

if TYPE_CHECKING:
    from collections.abc import Iterable

KINDS: Final = frozenset({"model", "mcp", "agent", "run", "admin", "*"})
_PREFIXES: Final = ("agent:", "user:", "role:", "group:")
_EFFECTS: Final = ("allow", "deny")
_NAME: Final = re.compile(r"[A-Za-z0-9._@:/+-]{1,255}|\*")
_ID: Final = re.compile(r"#\s*id:\s*([A-Za-z0-9._-]{1,64})\s*")
_COLUMNS: Final = {"p": 8, "p2": 7, "g": 4}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a policy file."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A `p` line."""

    ref: LineRef
    subject: str
    domain: str
    pattern: Pattern
    pattern_text: str
    action: str
    condition: str | None
    effect: Literal["allow", "deny"]
    obligations: Obligations
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A `p2` line: from one trust domain to another."""

    ref: LineRef
    source: str
    target: str
    kind: str
    action: str
    effect: Literal["allow", "deny"]
    obligations: Obligations
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A `g` line: a member has a role in a trust domain."""

    ref: LineRef
    member: str
    role: str
    domain: str


@dataclass(slots=True)
class Lines:
    """All lines of a set, with what is wrong with those that could not be read."""

    rules: list[Rule] = field(default_factory=list["Rule"])
    flows: list[Flow] = field(default_factory=list["Flow"])
    grants: list[Grant] = field(default_factory=list["Grant"])
    problems: list[Problem] = field(default_factory=list["Problem"])


def read_lines(file: str, text: str, into: Lines) -> None:
    """Read the policy file `text`, named `file` in references, into `into`."""
    stable: str | None = None
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if (named := _ID.fullmatch(line)) is not None:
            stable = named.group(1)
            continue
        if not line or line.startswith("#"):
            continue
        ref = LineRef(id=stable or f"{file}:{number}", file=file, line=number, text=line)
        stable = None
        try:
            _read(line, ref, into)
        except _Unreadable as error:
            into.problems.append(Problem(file, number, str(error)))
    _refuse_twins(into)


class _Unreadable(Exception):  # noqa: N818 - internal
    pass


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean …?)` for the nearest of `known`, or nothing."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean `{found[0]}`?" if found else ""


def _read(line: str, ref: LineRef, into: Lines) -> None:
    if '"' in line or "'" in line:
        raise _Unreadable("quotes have no meaning here; write the plain text")
    if "#" in line:
        raise _Unreadable("a comment must stand on a line of its own")
    columns = tuple(part.strip() for part in line.split(","))
    kind = columns[0]
    if kind not in _COLUMNS:
        raise _Unreadable(f"unknown line type `{kind}`; expected `p`, `p2` or `g`{nearest(kind, _COLUMNS)}")
    expected = _COLUMNS[kind]
    if kind != "g" and len(columns) > expected:  # obligations may hold a comma (`approval=leads,four-eyes`)
        columns = (*columns[: expected - 1], ",".join(columns[expected - 1 :]))
    if len(columns) != expected:
        raise _Unreadable(f"expected {expected} columns for `{kind}`, not {len(columns)}")
    if kind == "p":
        into.rules.append(_rule(columns[1:], ref))
    elif kind == "p2":
        into.flows.append(_flow(columns[1:], ref))
    else:
        into.grants.append(_grant(columns[1:], ref))


def _rule(columns: tuple[str, ...], ref: LineRef) -> Rule:
    subject, domain, resource, action, condition, effect, obligations = columns
    try:
        pattern = compile_pattern(resource)
    except UnusableName as error:
        raise _Unreadable(f"resource `{resource}`: {error}") from None
    checked = _effect(effect)
    demanded = _obligations(obligations, checked)
    if action == "create" and demanded.limits:
        raise _Unreadable("`limit=` counts calls, and to begin a run is none; write it on what the run calls")
    return Rule(
        ref=ref, subject=_subject(subject), domain=_name(domain, "trust domain"), pattern=pattern,
        pattern_text=resource, action=_action(action), condition=None if condition == "-" else condition,
        effect=checked, columns=columns, obligations=of_line(demanded, ref.id, of_user=subject.startswith("user:")),
    )  # fmt: skip


def _flow(columns: tuple[str, ...], ref: LineRef) -> Flow:
    source, target, kind, action, effect, obligations = columns
    if kind not in KINDS:
        raise _Unreadable(f"unknown kind `{kind}`; expected one of {', '.join(sorted(KINDS))}{nearest(kind, KINDS)}")
    checked = _effect(effect)
    return Flow(
        ref=ref, source=_name(source, "trust domain"), target=_name(target, "trust domain"), kind=kind,
        action=_action(action), effect=checked, columns=columns,
        obligations=of_line(_obligations(obligations, checked), ref.id),
    )  # fmt: skip


def _grant(columns: tuple[str, ...], ref: LineRef) -> Grant:
    member, role, domain = columns
    if not role.startswith(("role:", "group:")) or role == "role:any":
        raise _Unreadable(f"`{role}`: expected a role (`role:name`) or a group (`group:name`)")
    _subject(role)
    return Grant(ref=ref, member=_subject(member), role=role, domain=_name(domain, "trust domain"))


def _subject(text: str) -> str:
    prefix = next((known for known in _PREFIXES if text.startswith(known)), None)
    if prefix is None or not _NAME.fullmatch(text[len(prefix) :]) or text.endswith("*"):
        raise _Unreadable(f"subject `{text}`: expected `agent:`, `user:`, `role:` or `group:` and a name")
    return text


def _name(text: str, what: str) -> str:
    if not _NAME.fullmatch(text):
        raise _Unreadable(f"`{text}` is no {what}")
    return text


def _action(text: str) -> str:
    if text != "*" and text not in ACTIONS:
        known = ", ".join(sorted(ACTIONS))
        raise _Unreadable(f"unknown action `{text}`; expected one of {known} or `*`{nearest(text, ACTIONS)}")
    return text


def _effect(text: str) -> Literal["allow", "deny"]:
    if text == "allow" or text == "deny":  # noqa: PLR1714 - narrows the type
        return text
    raise _Unreadable(f"unknown effect `{text}`; expected `allow` or `deny`{nearest(text, _EFFECTS)}")


def _obligations(text: str, effect: str) -> Obligations:
    if effect == "deny" and text != "-":
        raise _Unreadable("a deny carries no obligations; write `-`")
    try:
        return parse_obligations(text)
    except ObligationUnusable as error:
        raise _Unreadable(str(error)) from None


def _refuse_twins(lines: Lines) -> None:
    seen: dict[str, LineRef] = {}
    for ref in [item.ref for group in (lines.rules, lines.flows, lines.grants) for item in group]:
        if (first := seen.get(ref.id)) is not None and first != ref:
            message = f"id `{ref.id}` stands at {first.file}:{first.line} already"
            problem = Problem(ref.file, ref.line, message)
            if problem not in lines.problems:
                lines.problems.append(problem)
        seen.setdefault(ref.id, ref)
