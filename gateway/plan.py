"""Everything an execution needs, decided before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from durable.journal import Journal
    from durable.step import Began, Outcome, VaultEntry
    from gateway.call import Call, Refusal, UpstreamRequest
    from gateway.outward import Redaction, Veil
    from gateway.resilience.gates import Gate
    from gateway.resilience.rules import Rules
    from gateway.restoring import Originals
    from gateway.trail import Trail


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One call on its way to one upstream. `began` is `None` for housekeeping.

    `request` is what is sent first; `request_of` makes it anew for a further try of a call. `rules` say how it
    is carried out, `None`: sent once.
    """

    call: Call
    began: Began | None
    request: UpstreamRequest
    request_of: Callable[[Call], UpstreamRequest]
    redaction: Redaction
    veil: Veil
    grant: frozenset[str] | None
    originals: Originals
    journal: Journal
    trail: Trail
    audit_key: bytes
    uses: Callable[[Outcome], Mapping[bytes, int]]
    #: how many tokens it was thought to take, for an answer that does not say
    guess: Callable[[], Mapping[str, int]]
    price: Callable[[Mapping[str, int]], float | None]
    answer_bytes_max: int
    #: asked right before each send: why nothing may be sent for this call by now
    closed: Callable[[Call], Refusal | None]
    #: asked right before an outcome is journaled: why its answer is not given by now
    late: Callable[[Call], Refusal | None]
    rules: Rules | None
    #: what stands before the upstream, `None`: nothing
    gate: Gate | None
    #: the originals of placeholders in the request that the intent does not hold
    vault: tuple[VaultEntry, ...] = ()
    #: keeps the journaled answer for others who ask the same, told whether redaction found nothing in it
    keep: Callable[[Outcome, bool], None] | None = None
    #: prepares the same call to the next other model, `None` when there is none
    otherwise: Callable[[], Awaitable[Plan | None]] | None = None
