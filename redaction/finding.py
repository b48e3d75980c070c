"""The values redaction takes and returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Treatment = Literal["placeholder", "mask", "drop", "block", "keep"]
#: To an upstream, or back from one.
Direction = Literal["outward", "inward"]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One detected value: `text[start:end]` in characters, with its entity type and score 0..1.

    `recognizer` names what found it (for `oncegate redact` and the console).
    """

    start: int
    end: int
    entity: str
    score: float
    recognizer: str = ""


class Detector(Protocol):
    """Finds entities in texts. CPU-heavy and synchronous; the gateway runs it off the event loop."""

    def find(self, texts: Sequence[str]) -> list[tuple[Finding, ...]]:
        """Return, for each text, its findings without overlaps, in order of `start`.

        Raises `DetectionError` when any recognizer failed or timed out: never a partial result.
        """
        ...


class DetectionError(Exception):
    """Detection failed or could not be run; the call it was for must fail closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    r"""Which parts of a JSON tree are structure and which strings carry JSON themselves.

    Paths are dotted with `*` for any list index or key (`messages.*.role`, `messages.3.role`) and a final `**` for
    everything below; a dot inside a key is written `\.`. `keep` is never scanned nor changed, but for what stands in
    the place of a protocol's own word (`type`, `role` …) and is no word.
    `embedded` strings are parsed as JSON, walked, and encoded again (chat tool-call arguments); one
    that does not parse is scanned as text. `fixed` strings can only pass as they are, because somebody
    signed them: they are scanned, and a find that would change one blocks the call. `sealed` strings are signatures
    and encrypted contents: kept where they are written like one, and else `fixed`.
    """

    keep: tuple[str, ...] = ()
    embedded: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    sealed: tuple[str, ...] = ()


class Slot(Protocol):
    """A place in a tree of which a schema says what may stand there."""

    @property
    def formats(self) -> frozenset[str]:
        """The formats its schema names (JSON Schema Validation section 7.3)."""
        ...

    @property
    def closed(self) -> bool:
        """Whether nothing can be made that fits: what may stand there is named one by one, or not known."""
        ...

    def fits(self, value: object) -> bool:
        """Return whether `value` may stand there."""
        ...


class Slots(Protocol):
    """What schemas say of the places of a tree."""

    def at(self, pointer: str) -> Slot | None:
        """Return what is said of the place at a JSON pointer, `None` where nothing is."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Within which a value always gets the same placeholder, and outside which it is inert.

    `id` names it in the vault (`run/<id>`, `agent/<domain>/<agent>/<user>`, `call/<id>`), `key` is
    32 secret bytes.
    """

    id: str
    key: bytes


@dataclass(frozen=True, slots=True)
class Grant:
    """Where originals of `entities` (empty: all) may be put back: at and below `pointer`, a JSON pointer."""

    entities: frozenset[str]
    pointer: str = ""

    def covers(self, entity: str, place: str) -> bool:
        """Return whether a value of `entity` at the JSON pointer `place` may be put back."""
        return (not self.entities or entity in self.entities) and within(place, self.pointer)


def within(place: str, pointer: str) -> bool:
    """Return whether one JSON pointer is at or below another (RFC 6901)."""
    return place == pointer or place.startswith(pointer + "/")


@dataclass(frozen=True, slots=True)
class Minted:
    """A placeholder and the original it stands for; becomes a sealed vault row."""

    token: str
    entity: str
    original: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Redacted:
    """What redaction made of a tree. `tree` is the same object when `changed` is false.

    `counts` is per entity; `minted` are the placeholders put in (each once); `blocked` names
    entity and JSON pointer of every find whose treatment is `block`: the call must be refused. Where the
    profile is a shadow, `tree` is unchanged and `passed` says what would have been changed.
    """

    tree: object
    changed: bool
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    minted: tuple[Minted, ...] = ()
    blocked: tuple[tuple[str, str], ...] = ()
    #: names of finds that may be stand-ins of the scope already; what its vault holds of them is none
    suspects: tuple[str, ...] = ()
    #: what passed as it was: not looked into (`image`, `names in cyrillic`), or found by a shadow (`shadow EMAIL`)
    passed: Mapping[str, int] = field(default_factory=dict[str, int])
