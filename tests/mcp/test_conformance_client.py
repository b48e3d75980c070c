"""The gateway as a client of its servers, by the conformance suite: what it sends and how it takes what comes.

The suite's server stands behind the gateway, the official client before it. In the client's own era what the suite
sees is what it sees of that client directly; in the other one the gateway makes the messages, so it is the client.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import pytest

from tests.mcp import conformance
from tests.mcp.conformance_client import Agent, agent, run
from tests.mcp.relay import relay
from tests.mcp.stand import gateway, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.mcp.conformance_client import Mode
    from tests.mcp.relay import Relay

#: The required client scenarios of each revision but those of `auth/`, which are about authorization codes: the
#: gateway asks nobody to log in at a server (docs/authorization.md).
SCENARIOS: Final = {
    "2025-11-25": ("initialize", "tools_call", "elicitation-sep1034-client-defaults", "sse-retry"),
    "2026-07-28": ("tools_call", "request-metadata", "sep-2322-client-request-state", "http-standard-headers",
                   "http-custom-headers", "http-invalid-tool-headers", "json-schema-ref-no-deref"),
}  # fmt: skip
ROWS: Final[list[tuple[str, str, Mode]]] = [
    (revision, scenario, mode)
    for revision, scenarios in SCENARIOS.items()
    for scenario in scenarios
    for mode in ("legacy", "2026-07-28")
]
#: What fails in a row, and why.
EXCEPTIONS: Final[dict[tuple[str, str, Mode], set[str]]] = {}

pytestmark = [
    pytest.mark.skipif(
        conformance.node() is None, reason="there is no Node.js of 22 or newer; `make setup` brings one"
    ),
]


def name_of(row: tuple[str, ...]) -> str:
    """Return the name of a row's server; each has its own, for each has other tools."""
    return "-".join(row).replace("_", "-")


class Standing:
    """A running gateway with a server a row, and an agent before it."""

    def __init__(self, url: str, acting: Agent, relays: Mapping[str, Relay]) -> None:
        self._url = url
        self._agent = acting
        self._relays = relays

    def through(self, row: tuple[str, str, Mode]) -> tuple[frozenset[str], frozenset[str]]:
        """Run a row's scenario through the gateway."""
        self._agent.mode = row[2]
        self._agent.between = self._relays[name_of(row)]
        self._agent.url = f"{self._url}/mcp/{name_of(row)}"
        return run(self._agent, row[0], row[1])

    @property
    def error(self) -> str:
        """What went wrong for the agent the last time."""
        return self._agent.error

    def directly(self, revision: str, scenario: str) -> tuple[frozenset[str], frozenset[str]]:
        """Run a scenario without the gateway, by a client of the server's era."""
        self._agent.mode = "legacy" if revision == "2025-11-25" else "2026-07-28"
        self._agent.url = None
        return run(self._agent, revision, scenario)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    conformance.install()
    folder = tmp_path_factory.mktemp("client")
    with ExitStack() as stack, agent() as acting:
        # a relay each: the gateway keeps the session of a row that is over, and would listen to the next row's server
        relays = {name_of(row): stack.enter_context(relay()) for row in ROWS}
        eras = {name_of(row): "legacy" if row[0] == "2025-11-25" else "modern" for row in ROWS}
        servers = "".join(
            f"  {name}: {{url: 'http://127.0.0.1:{one.server_address[1]}/mcp', era: {eras[name]}}}\n"
            for name, one in relays.items()
        )
        policy = "p, role:any, *, mcp/*, list, -, allow, -\np, role:any, *, mcp/**, *, -, allow, redact=off\n"
        write(folder, policy=policy, servers=servers)
        with gateway(folder) as (url, _):
            yield Standing(url, acting, relays)


def spoken_for(row: tuple[str, str, Mode]) -> bool:
    """Return whether the gateway makes the messages that the suite sees; else it passes on the client's."""
    return (row[0] == "2025-11-25") == (row[2] == "2026-07-28")


@pytest.mark.requirement("MCP-42")
@pytest.mark.parametrize(
    "row", [pytest.param(row, id=name_of(row), marks=() if spoken_for(row) else pytest.mark.slow) for row in ROWS]
)
def test_the_suite_sees_no_worse_a_client_through_the_gateway_than_directly(
    standing: Standing, row: tuple[str, str, Mode]
) -> None:
    passed, failed = standing.directly(row[0], row[1])
    through_passed, through_failed = standing.through(row)
    if "timed out" in standing.error:  # a busy machine: what the gateway loses it loses both times
        through_passed, through_failed = standing.through(row)
    assert passed
    assert passed - through_passed == EXCEPTIONS.get(row, set()), standing.error
    assert through_failed - failed == EXCEPTIONS.get(row, set())
