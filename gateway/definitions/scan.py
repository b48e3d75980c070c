"""Looks at a definition for what is meant for a model and hidden from people.

`hidden`, `bidi`, `name` and `look_alike` have no honest use in a definition and quarantine it by default.
Phrases are a heuristic: a false alarm there must not stop a tool, so they only warn.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final, Literal, cast

from gateway.config.likeness import skeleton

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.definitions.definition import Definition

Finding = Literal["hidden", "bidi", "name", "look_alike", "schema", "phrase", "other_tool"]

#: Findings that quarantine where `suspicious: quarantine` holds.
GRAVE: Final = frozenset[str]({"hidden", "bidi", "name", "look_alike", "schema"})
FINDINGS_MAX: Final = 20
_TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_./\-]{1,128}")
_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
#: Letters and marks that are shown as nothing: fillers, the combining grapheme joiner, Khmer inherent vowels.
_BLANK: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\u2800")
_JOINER: Final = "\u200d"
_NON_JOINER: Final = "\u200c"
_EMOJI_STYLE: Final = "\ufe0f"
_KEYCAPS: Final = frozenset("0123456789#*\u00a9\u00ae")
_SYMBOLS_FIRST: Final = 0x2000
_VARIATIONS: Final = ((0xFE00, 0xFE0F), (0xE0100, 0xE01EF), (0x180B, 0x180F))
#: Tabs and line ends are what texts are laid out with.
_LAYOUT: Final = frozenset("\t\n\r")
_WORDS: Final = re.compile(r"[A-Za-z0-9_.\-]+")
_WORDS_BETWEEN: Final = r"(?:\W+\w+){0,3}?\W+"
_PHRASES: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        (
            rf"\b(?:ignore|disregard|forget|override){_WORDS_BETWEEN}(?:previous|prior|above|earlier|other)\W+"
            r"(?:\w+\W+){0,2}?(?:instructions?|prompts?|rules?|messages?|directions?)\b"
        ),
        (
            r"\b(?:do\W+not|don.?t|never|without)\W+(?:\w+\W+){0,2}?(?:tell(?:ing)?|mention(?:ing)?|inform(?:ing)?|"
            r"notify(?:ing)?|reveal(?:ing)?|show(?:ing)?)\W+(?:\w+\W+){0,4}?(?:the\W+)?users?\b"
        ),
        r"\b(?:reveal|print|repeat|send|include|output)\W+(?:\w+\W+){0,3}?system\W+prompt\b",
        r"<\s*/?\s*(?:important|system|secret|instructions?|hidden|admin)\s*>",
        (
            r"\b(?:before|prior\W+to)\W+(?:using|calling|invoking|running)\W+(?:\w+\W+){0,3}?tools?\W+"
            r"(?:\w+\W+){0,6}?(?:read|open|fetch|cat|send|call|pass)\b"
        ),
        (
            r"\b(?:read|open|cat|include|send|upload|pass|attach)\W+(?:\w+\W+){0,6}?(?:~/|/etc/passwd|\.ssh\b|id_rsa\b|"
            r"\.env\b|\.aws\b|mcp\.json\b|private\W+keys?\b|api\W+keys?\b|credentials\b)"
        ),
        r"\b(?:send|forward|post|upload|exfiltrate|bcc)\W+(?:\w+\W+){0,8}?to\W+(?:https?://|[\w.+-]+@[\w-]+\.\w+)",
    )
)


class Names:
    """The names of the tools of all servers, by what they look like."""

    def __init__(self, tools: Iterable[tuple[str, str]]) -> None:
        self._looks: dict[str, set[tuple[str, str]]] = {}
        self._owners: dict[str, set[str]] = {}
        for server, name in tools:
            self._looks.setdefault(skeleton(name), set()).add((server, name))
            # one word is a word of the language; a name of several is somebody's tool
            if re.search(r"[_\-.]|[a-z][A-Z]", name):
                self._owners.setdefault(name, set()).add(server)

    def has_double(self, server: str, name: str) -> bool:
        """Return whether another tool's name could be taken for this one."""
        # servers write the same word in their own manner; within one server two manners are two tools
        return any(
            other != name and (owner == server or _manner(other) != _manner(name))
            for owner, other in self._looks.get(skeleton(name), ())
        )

    def names_other(self, server: str, text: str) -> bool:
        """Return whether a text of a server names a tool that only others have."""
        return any(server not in self._owners.get(word.strip(".-"), {server}) for word in _WORDS.findall(text))


def scan(one: Definition, server: str, names: Names) -> tuple[str, ...]:
    """Return what is found in a definition of a server, each as `finding place`."""
    found: dict[str, None] = {}
    if one.kind in {"tool", "prompt"} and _TOOL_NAME.fullmatch(one.name) is None:
        found["name name"] = None
    if one.kind == "tool" and names.has_double(server, one.name):
        found["look_alike name"] = None
    for place, text in _texts(one.tree, ""):
        found |= dict.fromkeys(f"{finding} {place}" for finding in _of_text(text))
        if one.kind in {"tool", "instructions"} and names.names_other(server, text):
            found[f"other_tool {place}"] = None
        if len(found) > FINDINGS_MAX:
            break
    return tuple(found)[:FINDINGS_MAX]


def is_grave(findings: Iterable[str]) -> bool:
    """Return whether any of the findings has no honest use."""
    return any(finding.partition(" ")[0] in GRAVE for finding in findings)


def _manner(name: str) -> str:
    return re.sub(r"[-_.]+", "", name).casefold()


def _texts(tree: object, place: str) -> Iterator[tuple[str, str]]:
    """Yield every text and every key of a tree, with its place."""
    if isinstance(tree, str):
        yield place or "-", tree
    elif isinstance(tree, dict):
        for key, value in cast("dict[str, object]", tree).items():
            here = f"{place}.{_shown(key)}" if place else _shown(key)
            yield here, key
            yield from _texts(value, here)
    elif isinstance(tree, list):
        for number, value in enumerate(cast("list[object]", tree)):
            yield from _texts(value, f"{place}.{number}")


def _shown(key: str) -> str:
    """Return a key as findings may show it: they reach terminals and the audit."""
    return key if key.isascii() and key.isprintable() and len(key) <= 64 and " " not in key else "?"  # noqa: PLR2004


def _of_text(text: str) -> Iterator[Finding]:
    if not text.isascii() or not text.isprintable():
        if any(character in _BIDI for character in text):
            yield "bidi"
        if _hides(text):
            yield "hidden"
    plain = unicodedata.normalize("NFKC", text)
    if any(pattern.search(plain) for pattern in _PHRASES):
        yield "phrase"


def is_hidden_text(text: str) -> bool:
    """Return whether a text holds what nobody sees, or what changes the order it is read in."""
    return any(character in _BIDI for character in text) or _hides(text)


def spelled(text: str) -> str:
    """Return a text for people with every character written out that they would not see."""
    if text.isascii() and text.isprintable():
        return text
    # a joiner in its place is shown too: between letters it would not be seen
    return "".join(
        f"\\u{{{ord(one):x}}}" if one in _BIDI or one in _LAYOUT or _is_hidden(one, " ") else one for one in text
    )


def _hides(text: str) -> bool:
    before = " "
    for character in text:
        if _is_hidden(character, before):
            return True
        before = character
    return False


def _is_hidden(character: str, before: str) -> bool:
    if character in {_EMOJI_STYLE, _JOINER}:
        # part of a picture (an emoji), or of a word in a script that joins; never two of the same kind in a row
        picture = ord(before) > _SYMBOLS_FIRST and before not in {character, _JOINER}
        return not (picture or _joins(before) or (character == _EMOJI_STYLE and before in _KEYCAPS))
    if character == _NON_JOINER:
        return not _joins(before)
    code = ord(character)
    if character in _BLANK or any(first <= code <= last for first, last in _VARIATIONS):
        return True
    hidden = unicodedata.category(character) in {"Cc", "Cf", "Co", "Cn", "Cs"}
    return hidden and character not in _LAYOUT and character not in _BIDI


def _joins(character: str) -> bool:
    """Return whether a letter is of a script whose words need joiners (Arabic, Indic and others)."""
    return unicodedata.category(character)[0] in "LM" and 0x0600 <= ord(character) <= 0x1CFF  # noqa: PLR2004 - blocks
