"""A journaled outcome as this request gets it: under today's redaction, with what may be restored."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from gateway import body, refusals
from gateway.call import Unit
from gateway.inward import Clean, Inward
from gateway.restoring import Restoring

if TYPE_CHECKING:
    from durable.step import Replay
    from gateway.call import Call
    from gateway.outward import Redaction, Veil
    from gateway.restoring import Originals


async def replayed_body(
    call: Call,
    known: Replay,
    *,
    redaction: Redaction,
    veil: Veil,
    grant: frozenset[str] | None,
    originals: Originals,
    same_digests: bool,
) -> bytes:
    """Return the body of `known` for the agent.

    Under the digests it was made with and without a grant to restore it is the journal's, byte for
    byte; otherwise it passes today's inward redaction and restoration. Raises `DetectionError`,
    `Refusal` when today's profile withholds it.
    """
    outcome = known.outcome
    if same_digests and grant is None:
        return outcome.body
    # what is journaled is in the adapter's own protocol, whatever the upstream spoke
    reader = call.adapter.reader(replace(call, spoken=None))
    reader.begin(outcome.status, ((b"content-type", outcome.media.encode()),))
    inward = Inward(reader, redaction, veil, grant)
    restoring = Restoring(reader, grant, originals)
    if outcome.form in {"result", "error"}:
        units = [Unit(raw=b"", tree={outcome.form: body.parse(outcome.body)}, final=True)]
    else:
        units = [*reader.feed(outcome.body), *reader.end()]
    clean = [Clean(unit, unit.tree, unit.raw) for unit in units] if same_digests else await inward.take(units)
    if inward.blocked:
        raise refusals.withheld(inward.blocked)
    originals.minted |= inward.minted
    parts = [part for one in clean for part in await restoring.take(one)]
    if outcome.form in {"result", "error"}:
        return body.encode(cast("dict[str, object]", parts[-1][1])[outcome.form])
    return b"".join(raw for raw, _ in parts)
