"""`oncegate redact`: what redaction finds in a text, by whom and how surely; needs no running gateway."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path  # noqa: TC003 - typer reads annotations at run time
from typing import TYPE_CHECKING, Annotated, cast

import typer

from gateway.body import MalformedBody, encode, parse, plain
from gateway.cli import options  # noqa: TC001 - typer reads annotations at run time
from gateway.cli.output import NO, USAGE, Column, Failure, note, print_json, print_table
from gateway.shipped import policies_folder
from redaction import redactor
from redaction.finding import DetectionError, Scope, Shape
from redaction.model import ModelUnusable, default_folder
from redaction.profile import Profile, ProfilesInvalid, Rule, load_profiles
from redaction.stream import segments_of
from redaction.worker import PresidioInWorker

if TYPE_CHECKING:
    from redaction.finding import Detector, Finding

TEXT_BYTES_MAX = 4 * 1024 * 1024

_FILE = typer.Argument(metavar="[FILE]", help="The text, or with --json a JSON array of texts; `-` is standard input.")


_TREE = typer.Option("--tree", help="The text is JSON: walk it as the gateway does, and show what becomes of it.")
_ALL = Rule("placeholder", 0.0)
_PROFILE = typer.Option("--profile", metavar="NAME", help="Show only what this profile treats, and how.")
_PROFILES = typer.Option("--profiles", metavar="FILE", help="The file of profiles, instead of the shipped ones.")


def redact(
    file: Annotated[str, _FILE] = "-",
    *,
    as_json: options.JsonOption = False,
    tree: Annotated[bool, _TREE] = False,
    profile: Annotated[str | None, _PROFILE] = None,
    profiles: Annotated[Path | None, _PROFILES] = None,
) -> None:
    """Show what redaction finds: entity, score, place and recognizer. Values are shown as they stand."""
    chosen = None if profile is None else _profile(profile, profiles)
    if tree:
        _show_tree(_read(file), chosen or Profile(name="all", inspects=True, default=_ALL), as_json=as_json)
        return
    texts = _texts(_read(file), as_json=as_json)
    begun = time.perf_counter()
    try:
        detector = PresidioInWorker(default_folder())()
        loaded = time.perf_counter()
        found = [[one for one in _findings(detector, text) if _treated(one, chosen)] for text in texts]
    except (ModelUnusable, DetectionError) as error:
        raise Failure(NO, str(error)) from None
    if as_json:
        print_json(
            [[_shown(text, one, chosen) for one in findings] for text, findings in zip(texts, found, strict=True)]
        )
        return
    text, findings = texts[0], found[0]
    columns = [Column("ENTITY"), Column("SCORE", align="right"), Column("PLACE"), Column("FOUND BY"), Column("VALUE")]
    if chosen is not None:
        columns.append(Column("BECOMES"))
    rows = [
        [one.entity, f"{one.score:.2f}", f"{one.start}-{one.end}", one.recognizer, text[one.start : one.end],
         *([] if chosen is None else [chosen.rule(one.entity).treatment])]
        for one in findings
    ]  # fmt: skip
    print_table(columns, rows, empty="nothing found")
    seconds = time.perf_counter() - loaded
    note(f"model loaded in {loaded - begun:.1f} s, text looked at in {seconds * 1000:.0f} ms")


def _show_tree(content: str, profile: Profile, *, as_json: bool) -> None:
    """Show the finds of a JSON tree with their pointers, and the tree as an upstream would see it."""
    try:
        planned = redactor.plan(parse(content.encode()), Shape(), profile)
        detector = PresidioInWorker(default_folder())()
        begun = time.perf_counter()
        found = dict(zip(planned.texts, detector.find(planned.texts), strict=True))
    except MalformedBody as error:
        raise Failure(USAGE, f"expected JSON: {error}") from None
    except (ModelUnusable, DetectionError) as error:
        raise Failure(NO, str(error)) from None
    # under a key of this moment: what stands here stands for nothing elsewhere
    after = redactor.finish(planned, found, Scope(id="shown", key=os.urandom(32)))
    seconds = time.perf_counter() - begun
    placed = [(pointer, one) for pointer, one in redactor.places(planned, found) if _treated(one, profile)]
    if as_json:
        print_json({
            "findings": [{"pointer": pointer, "entity": one.entity, "score": round(one.score, 4), "start": one.start,
                          "end": one.end, "recognizer": one.recognizer, "treatment": profile.rule(one.entity).treatment}
                         for pointer, one in placed],
            "blocked": [f"{entity} at {pointer or '/'}" for entity, pointer in after.blocked],
            "passed": dict(after.passed), "milliseconds": round(seconds * 1000, 2), "content": plain(after.tree),
        })  # fmt: skip
        return
    columns = [Column("AT"), Column("ENTITY"), Column("SCORE", align="right"), Column("PLACE"), Column("FOUND BY"),
               Column("BECOMES")]  # fmt: skip
    print_table(columns, [
        [pointer or "/", one.entity, f"{one.score:.2f}", f"{one.start}-{one.end}", one.recognizer,
         profile.rule(one.entity).treatment] for pointer, one in placed
    ], empty="nothing found")  # fmt: skip
    typer.echo(encode(after.tree).decode())
    note(f"looked at in {seconds * 1000:.0f} ms")


def _read(file: str) -> str:
    try:
        if file == "-":
            content = sys.stdin.buffer.read(TEXT_BYTES_MAX + 1)
        else:
            with open(file, "rb") as opened:  # noqa: PTH123 - `-` and paths alike are the user's words
                content = opened.read(TEXT_BYTES_MAX + 1)
    except OSError as error:
        raise Failure(USAGE, f"`{file}`: {(error.strerror or 'cannot be read').lower()}") from None
    if len(content) > TEXT_BYTES_MAX:
        raise Failure(USAGE, f"`{file}`: longer than {TEXT_BYTES_MAX} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise Failure(USAGE, f"`{file}`: expected UTF-8") from None


def _texts(content: str, *, as_json: bool) -> list[str]:
    """Return the texts: the content itself, or with `as_json` the strings of an array where it is one."""
    if as_json and content.lstrip().startswith("["):
        try:
            tree = parse(content.encode())
        except MalformedBody as error:
            raise Failure(USAGE, f"expected a JSON array of texts: {error}") from None
        listed = cast("list[object]", tree)
        if not all(isinstance(text, str) for text in listed):
            raise Failure(USAGE, "expected a JSON array of texts, and only texts in it")
        return cast("list[str]", listed)
    return [content]


def _findings(detector: Detector, text: str) -> list[Finding]:
    """Return the findings of a whole text, looked at in the segments the gateway looks at."""
    segments = segments_of(text)
    found: list[Finding] = []
    at = 0
    for segment, findings in zip(segments, detector.find(segments), strict=True):
        found += [type(one)(at + one.start, at + one.end, one.entity, one.score, one.recognizer) for one in findings]
        at += len(segment)
    return found


def _profile(name: str, file: Path | None) -> Profile:
    try:
        known = load_profiles(file or policies_folder() / "redaction.yaml")
    except (ProfilesInvalid, FileNotFoundError) as error:
        raise Failure(USAGE, str(error)) from None
    if name not in known:
        raise Failure(USAGE, f"unknown profile `{name}`; expected one of {', '.join(known)}")
    return known[name]


def _treated(one: Finding, profile: Profile | None) -> bool:
    if profile is None:
        return True
    rule = profile.rule(one.entity)
    return profile.inspects and rule.treatment != "keep" and one.score >= rule.threshold


def _shown(text: str, one: Finding, profile: Profile | None) -> dict[str, object]:
    shown: dict[str, object] = {
        "entity": one.entity, "score": round(one.score, 4), "start": one.start, "end": one.end,
        "recognizer": one.recognizer, "text": text[one.start : one.end],
    }  # fmt: skip
    return shown if profile is None else shown | {"treatment": profile.rule(one.entity).treatment}
