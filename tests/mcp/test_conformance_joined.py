"""The conformance suite at the joined endpoint, its names put on and taken off in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.mcp import conformance
from tests.mcp.stand import stand

if TYPE_CHECKING:
    from pathlib import Path

#: What does not pass there, by revision, and why. None of it is among the required scenarios.
EXCEPTIONS: Final = {
    # the stream is the gateway's own: it asks its server for the rest itself, so its client never has to
    "2025-11-25": {"server-sse-polling"},
    "2026-07-28": set[str](),
}


@pytest.mark.requirement("MCP-38")
@pytest.mark.skipif(conformance.node() is None, reason="there is no Node.js of 22 or newer; `make setup` brings one")
@pytest.mark.parametrize("revision", [pytest.param("2025-11-25", marks=pytest.mark.slow), "2026-07-28"])
def test_the_suite_passes_at_the_joined_endpoint_but_for_what_is_listed(tmp_path: Path, revision: str) -> None:
    conformance.install()
    # a server of both eras is spoken to in the newer one, where it may push nothing: here it speaks the client's
    era = "legacy" if revision == "2025-11-25" else "modern"
    with stand(tmp_path, era=era) as stood, conformance.unnamed(stood.joined) as joined:
        direct = conformance.run(stood.direct, revision)
        through = conformance.run(joined, revision)
    assert direct.missed == frozenset()
    assert through.missed == frozenset()
    lost = {name.partition(":")[0] for name in direct.passed - through.passed}
    assert lost == EXCEPTIONS[revision]
