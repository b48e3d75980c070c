"""The neutral vocabulary of the data path: what came in, what was asked, what goes out.

Governance sees only these values and never a protocol (DESIGN section 1).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence

    from durable.step import Effect, Kind, Outcome, Repeat, RunRef
    from policy.decision import Principal
    from redaction.finding import Scope, Shape, Slots

#: Header name in lower case and value, as ASGI gives them.
Headers = tuple[tuple[bytes, bytes], ...]


def header(headers: Headers, name: bytes) -> bytes | None:
    """Return the first value of `name` (lower case), or `None`."""
    for key, value in headers:
        if key == name:
            return value
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One HTTP request after the front door: limits checked, caller verified, run token scrubbed.

    `path` is without the run-token prefix. `disconnected` resolves when the client has gone.
    """

    method: str
    path: str
    query: bytes
    headers: Headers
    body: bytes
    principal: Principal
    run: RunRef | None
    #: literal gateway tokens of this request (the run token), replaced by `run` before hashing or sending
    own_tokens: tuple[str, ...] = ()
    correlation: str
    disconnected: Callable[[], Awaitable[None]]


RefusalCode = Literal[
    "bad_request", "unauthenticated", "denied", "not_found", "approval_pending", "blocked", "too_large", "limited",
    "key_reused", "in_doubt", "attempt_superseded", "call_failed", "upstream_unreachable", "invalid_arguments",
    "in_flight", "run_closed", "approval_lost", "diverged", "upstream_failed", "unavailable", "internal", "quarantined",
]  # fmt: skip


# not frozen: the standard library sets `__traceback__` and `__context__` of what passes through it
@dataclass(eq=False, slots=True, kw_only=True)
class Refusal(Exception):  # noqa: N818 - a value of the vocabulary that is also raised
    """A call that is not answered by its upstream; every adapter says it in its protocol.

    `message` is one lower-case sentence that says what to do; it is the same for the same (rule, resource, step), today
    and after a restart: no ids, no times, no argument values. `final` tells clients not to retry. `rule` is the
    deciding policy line's id.
    """

    code: RefusalCode
    message: str
    status: int
    final: bool = True
    rule: str | None = None
    call_id: str | None = None
    retry_after_seconds: int | None = None
    #: the methods that are served, for a 405 (RFC 9110 section 15.5.6)
    allow: str = ""
    #: what changes from one asking to the next (counts, times): for a header and the audit, never for the text
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One governed operation on a resource, as an adapter read it.

    `tree` is the parsed JSON that redaction walks and the upstream gets (a chat body; the JSON-RPC message).
    `arguments` is the part conditions and restore pointers see. `canonical` is what the fingerprint covers. A tool call
    is named by `tool_name` as its server knows it, and its arguments stand at `arguments_path` in `tree`.
    """

    exchange: Exchange
    adapter: Adapter
    target: object
    endpoint: str
    resource: str
    resource_domain: str
    action: str
    kind: Kind
    effect: Effect
    repeat: Repeat = "once_per_arguments"
    #: how long the upstream knows the key of a `keyed` call
    key_seconds: float | None = None
    tree: object
    arguments: object
    arguments_path: tuple[str, ...] = ()
    tool_name: str = ""
    shape: Shape
    canonical: bytes
    key: str | None = None
    declared_retry: bool = False
    #: further resources that must be allowed as well (hosted tools of a model call)
    also: tuple[str, ...] = ()
    #: ids of what a provider keeps that the request names; only who received them may (DESIGN section 6)
    objects: tuple[str, ...] = ()
    #: JSON pointers of what its provider would fetch by itself, which nobody can look into
    linked: tuple[str, ...] = ()
    #: what of the request cannot be inspected, in words; refused wherever redaction is on
    unreadable: str = ""
    #: whose objects they have to be: the provider that would be asked
    origin: str = ""
    #: false for housekeeping that passes without a journal entry (MCP list, initialize, ping)
    journaled: bool = True
    stream: bool = False
    #: false for a message that gets no response: it may be what another call waits for, so it holds up none
    expects: bool = True
    #: a stream that stays open to hear what happens, counted apart from calls that do something
    listens: bool = False
    #: the resource as audit and traces show it, where its name holds content (a URI); empty: as it is
    shown: str = ""
    #: a client that goes away ends the call upstream; otherwise it is finished and journaled
    cancel_on_disconnect: bool = False
    #: names the telemetry conventions want (`mcp.method.name`, `gen_ai.request.model`)
    facts: Mapping[str, str | int | float | bool] = field(default_factory=dict[str, "str | int | float | bool"])
    seconds_max: float = 60.0
    #: paths of object keys in `tree` that the fingerprint leaves out
    unhashed: frozenset[tuple[str, ...]] = frozenset()
    #: whose placeholders the arguments hold, where they come from another call; `None`: the call's own
    scope: Scope | None = None
    #: is asked right before the intent, or the send of what has none; raises `Refusal` when it may not go
    admit: Callable[[], Awaitable[None]] | None = None
    #: what schemas say of the places in `tree`, asked for once `admit` has passed
    slots: Callable[[], Slots | None] | None = None
    #: is told the answer itself as it came, before redaction (the gateway's own calls)
    hears: Callable[[object], None] | None = None
    #: the protocol that is spoken to the upstream, where it is not the adapter's own
    spoken: str | None = None
    #: what is called instead where the journal holds no outcome (a fork's other model)
    live: Call | None = None
    #: make the same call to other models, asked in this order where its own does not answer; raise `Refusal`
    otherwise: tuple[Callable[[], Call], ...] = ()
    #: makes the call for a further try where its target keeps what one send has said; `None`: it was cancelled
    fresh: Callable[[Call], Call | None] | None = None

    @property
    def concerns(self) -> tuple[str, ...]:
        """What its answer comes from: its resources, and the trust domain they belong to (`domain:acme`)."""
        return self.resource, *self.also, f"domain:{self.resource_domain}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamRequest:
    """What is sent. `body` is whole; `headers` carry neither the caller's credential nor its cookies."""

    method: str
    path: str
    headers: Headers
    body: bytes
    #: gets what proves the gateway to the upstream, right before sending; raises `NotSent`
    authorize: Callable[[], Awaitable[Headers]] | None = None


class UpstreamResponse(Protocol):
    """An answer that has begun. `aclose` gives the connection back or drops it; always call it."""

    status: int
    headers: Headers

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives (decoded transfer coding). Raises `Sent` when it is cut."""
        ...

    async def aclose(self) -> None:
        """End it; an unread rest drops the connection."""
        ...


class Pouring(ABC):
    """An answer that can also give its body as it arrives, without a task's step for each part.

    A class to derive from, because asking whether an object has a protocol's methods costs 0.1 ms.
    """

    @abstractmethod
    async def pour(self, take: Callable[[bytes], None]) -> None:
        """Give each part to `take` until the end. Raises `Sent` when it is cut, and what `take` raises."""


class Upstream(Protocol):
    """One upstream: a pool of connections or a child process, behind one method."""

    async def send(self, request: UpstreamRequest, *, seconds_max: float) -> UpstreamResponse:
        """Send and wait for the answer's head.

        Raises `NotSent` when not one byte can have reached the upstream, `Sent` in every other case.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections or end the process."""
        ...


class UpstreamError(Exception):
    """An upstream did not answer; the message names the stage, never content or credentials."""


class NotSent(UpstreamError):  # noqa: N818 - says what is known, and that is what callers decide on
    """Known not executed: connecting failed, or the request was never written."""


class Sent(UpstreamError):  # noqa: N818
    """Perhaps executed: timeout or broken connection after the first byte of the request."""


SlotKind = Literal["text", "json", "fixed", "audio", "image"]


@dataclass(frozen=True, slots=True)
class Slot:
    """A text or file that arrives in pieces: which one (`key`), and where its piece stands in the unit's tree.

    `json` slots (streamed tool arguments) are held to their end, then walked as JSON, of which `typed` says what
    schemas say. `fixed` ones (signed texts) pass as they are or block the answer. `audio` and `image` are base64,
    counted once and not looked into; what is no base64 there is a text.
    """

    key: Hashable
    path: tuple[str | int, ...]
    kind: SlotKind = "text"
    typed: Slots | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One piece of an upstream's answer: a whole body, a stream event, or a protocol message.

    `raw` is its bytes as they arrived (with SSE framing), sent verbatim when nothing changed. `tree` is its JSON,
    `None` where it has none (`[DONE]`, comments). With `slots` only those are redacted piecewise and the rest of the
    tree whole; `closes` are slots that end here. `hold`: it must not reach the agent before the outcome is journaled;
    `final`: it is the outcome itself. `told` hears the tree as it goes on, and is awaited first where redaction is on.
    """

    raw: bytes
    tree: object = None
    slots: tuple[Slot, ...] = ()
    #: what schemas say of the places in `tree`, where anybody says something
    typed: Slots | None = None
    #: texts that cannot be inspected piece by piece (log probabilities); null wherever redaction is on
    blind: tuple[tuple[str | int, ...], ...] = ()
    #: files said whole in a unit without `slots`, perhaps not for the first time: `key` says which one it is
    files: tuple[Slot, ...] = ()
    closes: tuple[Hashable, ...] = ()
    hold: bool = False
    final: bool = False
    told: Callable[[object], Awaitable[None]] | None = None


class AnswerReader(Protocol):
    """Reads one upstream answer; made new for each send. Pure: bytes in, units out."""

    @property
    def shape(self) -> Shape:
        """Which parts of a unit's tree are structure, as for requests."""
        ...

    def begin(self, status: int, headers: Headers) -> None:
        """Take the answer's head."""
        ...

    def feed(self, chunk: bytes) -> list[Unit]:
        """Take bytes, return the units they complete. Raises `Sent` on bytes that are not the protocol."""
        ...

    def flows(self, chunk: bytes) -> bool:
        """Return whether `chunk`, coming next of an answer nobody inspects, may leave at once; then it is taken."""
        ...

    def skim(self, chunk: bytes) -> list[Unit]:
        """Do as `feed` does for an answer nobody inspects; units in a row that need no hold may be one without tree."""
        ...

    def end(self) -> list[Unit]:
        """Take the end of the body. Raises `Sent` when the answer is incomplete."""
        ...

    def encode(self, unit: Unit, tree: object) -> bytes:
        """Return the wire bytes of `unit` with another tree (framing included)."""
        ...

    def continuation(self, key: Hashable, text: str) -> Unit:
        """Return a unit that carries `text` for slot `key` (text a segmenter still held at its close)."""
        ...

    def verdict(self) -> Verdict:
        """Say, after the end, what the answer proves about the effect."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an answer proves. `outcome` advances the step; `not_executed` leaves it open; `unknown` is doubt.

    `status`, `media` and `meta` (usage, finish reason: no content) go into the journaled outcome. `form` says what its
    body is. `reason` is for the journal, without content.
    """

    kind: Literal["outcome", "not_executed", "unknown"]
    form: Literal["body", "frames", "result", "error"] = "body"
    status: int = 200
    media: str = "application/json"
    reason: str = ""
    meta: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the agent gets. `frames`, when given, follow `body` as they come.

    The front door calls `delivered` once: true after the last byte, false when the client has gone. `concerns` are
    the resources it comes from and their trust domain (`domain:acme`): where one is blocked it goes no further.
    """

    status: int
    headers: Headers
    body: bytes = b""
    frames: AsyncIterable[bytes] | None = None
    delivered: Callable[[bool], None] | None = None
    concerns: tuple[str, ...] = ()
    #: it says a refusal that was audited, so that there is nothing in it to withhold
    refused: bool = False


class ClientGone(Exception):  # noqa: N818 - nobody is left to be told an error
    """The client has gone before its answer; there is nothing to send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """A tool call named in model traffic or made: last part of the tool's name, and its arguments."""

    name: str
    arguments: object


class Adapter(Protocol):
    """One protocol: bytes to a `Call`, an outcome back to bytes. Knows no policy, journal or telemetry."""

    @property
    def name(self) -> str:
        """The protocol's name, as evidence and metrics show it."""
        ...

    def request(self, call: Call, tree: object, *, upstream_key: str | None) -> UpstreamRequest:
        """Return what is sent for `call` with the (redacted, partly restored) `tree`."""
        ...

    def upstream(self, call: Call) -> Upstream:
        """Return where it is sent."""
        ...

    def reader(self, call: Call) -> AnswerReader:
        """Return a fresh reader for the answer."""
        ...

    def head(self, call: Call, extra: Headers) -> tuple[int, Headers]:
        """Return status and headers of a stream that begins before its outcome is known."""
        ...

    def present(self, call: Call, outcome: Outcome, body: bytes, extra: Headers) -> Reply:
        """Return an outcome, its body restored, as the answer to this request; the same for a replay."""
        ...

    def refuse(self, refusal: Refusal, call: Call | None, extra: Headers) -> Reply:
        """Say a refusal in the protocol."""
        ...

    def refusal_outcome(self, refusal: Refusal, call: Call) -> Outcome:
        """Return a refusal as an outcome: the effect happened, its answer is withheld."""
        ...

    def refusal_frame(self, refusal: Refusal, call: Call) -> bytes:
        """Say a refusal inside a stream that has begun; the stream ends after it."""
        ...

    def results_shown(self, tree: object) -> Sequence[ToolUse]:
        """Return the tool calls whose results a (redacted) model request carries; empty for others."""
        ...

    def tools_asked(self, outcome: Outcome) -> Sequence[ToolUse]:
        """Return the tool calls a (redacted) model answer asks for; empty for others."""
        ...
