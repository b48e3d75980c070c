"""A folder of policy files in, a verified set out; all that is wrong is said at once.

PolicyInvalid    the folder holds no usable set; `problems` lists every reason with file and line
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources as package_resources
from typing import TYPE_CHECKING, Final, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from policy.conditions import Condition, ConditionUnusable, compile_condition
from policy.engine import ReferenceEngine, check_model
from policy.lines import Lines, Problem, nearest, read_lines
from policy.roles import cycles
from policy.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from policy.decision import Decision, Question

FILE_BYTES_MAX: Final = 4 * 1024 * 1024
CONDITIONS_FILE: Final = "conditions.yaml"
MODEL_FILE: Final = "model.conf"


class PolicyInvalid(Exception):  # noqa: N818 - says what is known of the folder
    """The folder holds no usable set."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class PolicySet:
    """A verified set. With the shipped model the compiled snapshot decides, with a changed one stock Casbin."""

    snapshot: Snapshot
    model: str
    changed_model: ReferenceEngine | None

    @property
    def digest(self) -> str:
        """Return what names the set: a hash of its files."""
        return self.snapshot.digest

    def decide(self, question: Question) -> Decision:
        """Return the decision on `question`; never raises."""
        return self.snapshot.decide(question) if self.changed_model is None else self.changed_model.decide(question)

    def recalls(self, question: Question) -> bool:
        """Return whether a condition that may count asks what the run did before, or what time it is."""
        # which lines count under another matcher, only that one knows
        return self.snapshot.recalls(question if self.changed_model is None else None)

    def reference(self) -> ReferenceEngine:
        """Return stock Casbin with the same lines."""
        return ReferenceEngine(self.model, self.snapshot)


def load(folder: Path, *, profiles: Collection[str] | None = None, domains: Collection[str] | None = None) -> PolicySet:
    """Return the set in `folder`. Raises `PolicyInvalid`.

    `profiles` and `domains` are what `redact=` and domain columns may name, `None` where not known.
    """
    lines = Lines()
    texts = _texts(folder, lines.problems)
    for name in sorted(texts):
        if name.endswith(".csv"):
            read_lines(name, texts[name], lines)
    conditions: dict[str, Condition] = {}
    for name in sorted(texts):
        if name.endswith(CONDITIONS_FILE):
            _conditions(name, texts[name], conditions, lines.problems)
    _check_names(lines, conditions, profiles, domains)
    lines.problems += cycles(lines.grants)
    model = texts.get(MODEL_FILE, SHIPPED_MODEL)
    if (wrong := check_model(model, SHIPPED_MODEL)) is not None:
        lines.problems.append(Problem(MODEL_FILE, 1, wrong))
    if not lines.rules and not lines.problems:
        lines.problems.append(Problem(str(folder), 0, "expected at least one `p` line; an empty set denies everything"))
    if lines.problems:
        raise PolicyInvalid(sorted(lines.problems, key=lambda problem: (problem.file, problem.line)))
    snapshot = Snapshot(
        rules=lines.rules, flows=lines.flows, grants=lines.grants, conditions=conditions, digest=_digest(texts)
    )
    changed = ReferenceEngine(model, snapshot) if _meaning(model) != _meaning(SHIPPED_MODEL) else None
    return PolicySet(snapshot, model, changed)


def files_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files of a set, each with its name in it, in order: those of all folders below, whatever their depth.

    Left out is what is hidden (editors' and mounted volumes' own copies), and a folder with a `model.conf` of its
    own, which is another set.
    """
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        if any(part.startswith(".") for part in inner.parts) or not path.is_file():
            continue
        above = [folder.joinpath(*inner.parts[:depth]) for depth in range(1, len(inner.parts))]
        if not any((one / MODEL_FILE).is_file() for one in above):
            yield inner.as_posix(), path


def _texts(folder: Path, problems: list[Problem]) -> dict[str, str]:
    if not folder.is_dir():
        raise PolicyInvalid([Problem(str(folder), 0, "expected a folder of policy files")])
    texts: dict[str, str] = {}
    for name, path in files_in(folder):
        if not (path.suffix == ".csv" or path.name == CONDITIONS_FILE or name == MODEL_FILE):
            continue
        try:
            content = path.read_bytes()
            texts[name] = content.decode()
        except UnicodeDecodeError:
            problems.append(Problem(name, 1, "expected UTF-8"))
        except OSError as error:
            problems.append(Problem(name, 0, (error.strerror or "cannot be read").lower()))
        else:
            if len(content) > FILE_BYTES_MAX:
                problems.append(Problem(name, 0, f"larger than {FILE_BYTES_MAX} bytes"))
    return texts


def _conditions(file: str, text: str, into: dict[str, Condition], problems: list[Problem]) -> None:
    try:
        tree: object = YAML(typ="rt", pure=True).load(text)  # pyright: ignore[reportUnknownMemberType] - untyped
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = 1 if mark is None else cast("int", mark.line) + 1
        problems.append(Problem(file, line, "not usable YAML (a name twice, or a syntax error)"))
        return
    if tree is None:
        return
    if not isinstance(tree, dict):
        problems.append(Problem(file, 1, "expected a flat map of names to CEL expressions"))
        return
    for name, expression in cast("dict[object, object]", tree).items():
        line = _line_of(cast("object", tree), name)
        if not isinstance(name, str) or not isinstance(expression, str):
            problems.append(Problem(file, line, f"`{name}`: expected a name and a CEL expression in quotes"))
            continue
        if name in into:
            problems.append(Problem(file, line, f"`{name}`: another file of the set has a condition of that name"))
            continue
        try:
            into[name] = compile_condition(name, expression)
        except ConditionUnusable as error:
            problems.append(Problem(file, line, f"`{name}`: {error}"))


def _line_of(tree: object, name: object) -> int:
    place = getattr(tree, "lc", None)
    return 1 if place is None else cast("int", place.key(name)[0]) + 1


def _check_names(
    lines: Lines,
    conditions: Mapping[str, Condition],
    profiles: Collection[str] | None,
    domains: Collection[str] | None,
) -> None:
    for rule in lines.rules:
        if rule.condition is not None and rule.condition not in conditions:
            message = f"unknown condition `{rule.condition}`{nearest(rule.condition, conditions)}"
            lines.problems.append(Problem(rule.ref.file, rule.ref.line, message))
        _check(lines, rule.ref.file, rule.ref.line, (("trust domain", [rule.domain], domains),))
    for item in (*lines.rules, *lines.flows):
        named = item.obligations.profiles
        _check(lines, item.ref.file, item.ref.line, (("redaction profile", list(named), profiles),))
    for flow in lines.flows:
        _check(lines, flow.ref.file, flow.ref.line, (("trust domain", [flow.source, flow.target], domains),))
    for grant in lines.grants:
        _check(lines, grant.ref.file, grant.ref.line, (("trust domain", [grant.domain], domains),))


def _check(
    lines: Lines, file: str, line: int, checks: tuple[tuple[str, list[str], Collection[str] | None], ...]
) -> None:
    for what, names, known in checks:
        for name in names:
            if known is not None and name != "*" and name not in known:
                message = f"unknown {what} `{name}`{nearest(name, known)}"
                lines.problems.append(Problem(file, line, message))


def _digest(texts: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for name in sorted(texts):
        for part in (name.encode(), texts[name].encode()):
            digest.update(len(part).to_bytes(8, "big") + part)
    return f"sha256:{digest.hexdigest()}"


def _meaning(model: str) -> list[str]:
    lines = [line.strip() for line in model.splitlines()]
    return ["".join(line.split()) for line in lines if line and not line.startswith("#")]


def _shipped_model() -> str:
    return package_resources.files("policy").joinpath("model.conf").read_text(encoding="utf-8")


SHIPPED_MODEL: Final = _shipped_model()
