"""What is allowed in a policy folder, and is hardly meant: said with its line, and with what stands against it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from policy.conditions import ConditionError
from policy.decision import Principal, Question
from policy.index import ANY_ROLE
from policy.lines import nearest
from policy.resources import SegmentGlob

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from policy.decision import LineRef
    from policy.lines import Rule
    from policy.resources import Pattern
    from policy.snapshot import Snapshot
    from policy.source import PolicySet

_DEEP = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """One line that is hardly meant. `rule` names the kind: `shadowed`, `duplicate`, `too-wide` and others."""

    file: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message} ({self.rule})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What there is to call. `tools` are the recorded tools of a server by name, each with its input schema."""

    models: frozenset[str] = frozenset()
    servers: frozenset[str] = frozenset()
    tools: Mapping[str, Mapping[str, object]] = field(default_factory=dict[str, "Mapping[str, object]"])


def findings_of(policy_set: PolicySet, catalogue: Catalogue | None = None) -> list[Finding]:
    """Return what is hardly meant, by file and line; with a `catalogue` also what there is not."""
    snapshot = policy_set.snapshot
    found = [*_twins(snapshot), *_shadowed(snapshot), *_roles(snapshot), *_wide(snapshot), *_flows(snapshot)]
    found += [*_conditions(snapshot), *_labels(snapshot)]
    if catalogue is not None:
        found += [*_unknown(snapshot, catalogue), *_mistyped(snapshot, catalogue)]
    if policy_set.changed_model is not None:
        message = "a changed model: stock Casbin decides with it, slower, and `explain` reads lines by the shipped one"
        found.append(Finding("model.conf", 1, "changed-model", message))
    return sorted(set(found), key=lambda one: (one.file, one.line, one.rule))


def _at(ref: LineRef, rule: str, message: str) -> Finding:
    return Finding(ref.file, ref.line, rule, message)


def _named(ref: LineRef) -> str:
    return f"`{ref.id}`"


def _twins(snapshot: Snapshot) -> Iterator[Finding]:
    seen: dict[tuple[str, ...], LineRef] = {}
    lines = [(("p", *one.columns), one.ref) for one in snapshot.rules]
    lines += [(("p2", *one.columns), one.ref) for one in snapshot.flows]
    lines += [(("g", one.member, one.role, one.domain), one.ref) for one in snapshot.grants]
    for columns, ref in lines:
        if columns in seen:
            yield _at(ref, "duplicate", f"says what {_named(seen[columns])} says already")
        seen.setdefault(columns, ref)


def _shadowed(snapshot: Snapshot) -> Iterator[Finding]:
    denies = [rule for rule in snapshot.rules if rule.effect == "deny" and rule.condition is None]
    for rule in snapshot.rules:
        if rule.effect != "allow":
            continue
        above = next((deny for deny in denies if _covers(deny, rule)), None)
        if above is not None:
            yield _at(rule.ref, "shadowed", f"never allows anything: {_named(above.ref)} denies all of it")


def _covers(wide: Rule, narrow: Rule) -> bool:
    return (
        wide.subject in {ANY_ROLE, narrow.subject}
        and wide.domain in {"*", narrow.domain}
        and wide.action in {"*", narrow.action}
        and _within(narrow.pattern, wide.pattern)
    )


def _within(narrow: Pattern, wide: Pattern) -> bool:
    """Return whether every name that fits `narrow` fits `wide`; a no where that is not plain."""
    if len(narrow.segments) < len(wide.segments) or (narrow.rest and not wide.rest):
        return False
    if not wide.rest and len(narrow.segments) != len(wide.segments):
        return False
    if wide.rest and not narrow.rest and len(narrow.segments) == len(wide.segments):
        return False
    return all(_part_within(one, other) for one, other in zip(narrow.segments, wide.segments, strict=False))


def _part_within(narrow: str | SegmentGlob, wide: str | SegmentGlob) -> bool:
    if narrow == wide or (isinstance(wide, SegmentGlob) and wide.texts == ("", "")):
        return True
    return isinstance(narrow, str) and isinstance(wide, SegmentGlob) and wide.matches(narrow)


def _roles(snapshot: Snapshot) -> Iterator[Finding]:
    given = {one.role for one in snapshot.grants}
    asked = {one.subject for one in snapshot.rules} | {one.member for one in snapshot.grants}
    for rule in snapshot.rules:
        if rule.subject.startswith(("role:", "group:")) and rule.subject not in given | {ANY_ROLE}:
            message = f"no `g` line gives `{rule.subject}`, only a token can{nearest(rule.subject, given)}"
            yield _at(rule.ref, "undefined-role", message)
    for grant in snapshot.grants:
        if grant.role not in asked:
            message = f"no line is about `{grant.role}`{nearest(grant.role, asked)}"
            yield _at(grant.ref, "unreachable-role", message)


def _wide(snapshot: Snapshot) -> Iterator[Finding]:
    for rule in snapshot.rules:
        if rule.effect != "allow" or not rule.pattern.rest or rule.condition is not None:
            continue
        if not rule.pattern.segments or (rule.action == "*" and len(rule.pattern.segments) == 1 and _calls(rule)):
            yield _at(rule.ref, "too-wide", f"allows `{rule.action}` on all of `{rule.pattern_text}`, now and later")
        elif rule.subject == ANY_ROLE and rule.domain == "*":
            yield _at(rule.ref, "too-wide", f"allows every caller of every domain `{rule.pattern_text}`")


def _calls(rule: Rule) -> bool:
    return rule.pattern.segments[0] != "admin"


def _flows(snapshot: Snapshot) -> Iterator[Finding]:
    for flow in snapshot.flows:
        if flow.source == flow.target != "*":
            yield _at(flow.ref, "unreachable", "calls inside one domain need no flow line")
        elif flow.effect == "allow" and not any(
            rule.domain in {"*", flow.source} or flow.source == "*"
            for rule in snapshot.rules
            if _of_kind(rule, flow.kind)
        ):
            yield _at(flow.ref, "unreachable", f"no `p` line lets a caller of `{flow.source}` call a `{flow.kind}`")


def _of_kind(rule: Rule, kind: str) -> bool:
    first = rule.pattern.segments[0] if rule.pattern.segments else SegmentGlob(("", ""))
    return rule.effect == "allow" and (kind in {"*", first} or isinstance(first, SegmentGlob))


def _conditions(snapshot: Snapshot) -> Iterator[Finding]:
    used = {rule.condition for rule in snapshot.rules}
    for name in snapshot.conditions:
        if name not in used:
            yield Finding("conditions.yaml", 0, "unused-condition", f"no line names the condition `{name}`")


def _labels(snapshot: Snapshot) -> Iterator[Finding]:
    put = {label for one in (*snapshot.rules, *snapshot.flows) for label in one.obligations.labels}
    asked = {label for condition in snapshot.conditions.values() for label in condition.labels}
    for rule in snapshot.rules:
        condition = snapshot.conditions.get(rule.condition or "")
        for label in sorted(condition.labels - put) if condition else ():
            message = f"`{rule.condition}` asks for the label `{label}`, which no line puts{nearest(label, put)}"
            yield _at(rule.ref, "undefined-label", message)
        for label in rule.obligations.labels:
            if label not in asked:
                yield _at(rule.ref, "unused-label", f"no condition asks for the label `{label}`{nearest(label, asked)}")


def _unknown(snapshot: Snapshot, catalogue: Catalogue) -> Iterator[Finding]:
    for rule in snapshot.rules:
        segments = rule.pattern.segments
        if len(segments) > 1 and segments[0] == "model" and (wrong := _missing(segments[1], catalogue.models)):
            yield _at(rule.ref, "unknown-model", f"no model is called `{wrong}`{nearest(wrong, catalogue.models)}")
        if len(segments) < 2 or segments[0] != "mcp":  # noqa: PLR2004 - kind and name
            continue
        if wrong := _missing(segments[1], catalogue.servers):
            yield _at(rule.ref, "unknown-server", f"no server is called `{wrong}`{nearest(wrong, catalogue.servers)}")
            continue
        tools = catalogue.tools.get(str(segments[1]))
        if tools and len(segments) == _DEEP and segments[2] == "tool" and (wrong := _missing(segments[3], tools)):
            message = f"`{segments[1]}` has no tool that fits `{wrong}`{nearest(wrong, tools)}"
            yield _at(rule.ref, "unknown-tool", message)


def _missing(part: str | SegmentGlob, known: Iterable[str]) -> str | None:
    if isinstance(part, str):
        return None if part in set(known) else part
    return None if any(part.matches(name) for name in known) else "*".join(part.texts)


def _mistyped(snapshot: Snapshot, catalogue: Catalogue) -> Iterator[Finding]:
    for rule in snapshot.rules:
        condition = snapshot.conditions.get(rule.condition or "")
        segments = rule.pattern.segments
        if condition is None or "args" not in condition.variables or len(segments) != _DEEP or segments[0] != "mcp":
            continue
        for tool, schema in catalogue.tools.get(str(segments[1]), {}).items():
            fits = segments[3] == tool or (isinstance(segments[3], SegmentGlob) and segments[3].matches(tool))
            if not fits:
                continue
            wrong = _wrong_with(rule, snapshot, _map(schema))
            if wrong is not None:
                yield _at(rule.ref, "condition-type", f"condition `{rule.condition}` on tool `{tool}`: {wrong}")


def _wrong_with(rule: Rule, snapshot: Snapshot, schema: Mapping[str, object]) -> str | None:
    condition = snapshot.conditions[rule.condition or ""]
    known = _map(schema.get("properties"))
    if condition.members is not None and known:
        for member in sorted(condition.members):
            if member not in known:
                return f"the tool has no argument `{member}`{nearest(member, known)}"
    question = Question(
        principal=Principal(agent="a", domain="d", method="api_key"), resource="mcp", resource_domain="d",
        action="call", arguments={name: sample(one) for name, one in known.items()}, time=0.0,
    )  # fmt: skip
    if condition.reads_run:
        return None
    try:
        condition.holds(question)
    except ConditionError:
        return "it cannot be evaluated for arguments of the types the tool's schema gives"
    return None


def sample(schema: object) -> object:
    """Return a value that a JSON Schema allows, as far as its type and its enumeration say."""
    said = _map(schema)
    if "const" in said:
        return said["const"]
    if isinstance(listed := said.get("enum"), list) and listed:
        return cast("list[object]", listed)[0]
    kind = said.get("type")
    name: object = cast("list[object]", kind)[0] if isinstance(kind, list) and kind else cast("object", kind)
    if name == "object":
        return {key: sample(one) for key, one in _map(said.get("properties")).items()}
    plain: dict[object, object] = {"integer": 1, "number": 1.5, "boolean": True, "array": [], "null": None}
    return plain.get(name, "text") if isinstance(name, str) else "text"


def _map(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}
