"""Streams of all three APIs, their client gone or their gateway killed, on one SQLite file and on two instances."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from tests.emulator.faults import streamed
from tests.models.apis import APIS, ask, begin
from tests.models.conftest import Stand, stand_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contracts.cluster import Cluster
    from tests.emulator.faults import Answer, Received
    from tests.models.apis import Api, Provider


class Held:
    """Lets each API's first stream stop in its middle until it may go on; later ones do not."""

    def __init__(self, provider: Provider) -> None:
        self.on = threading.Event()
        self._provider = provider
        provider.fresh()
        provider.faulty = self._first

    def _first(self, api: Api, received: Received) -> Answer | None:
        del received
        return replace(streamed(api.events), hold=self.on, hold_at=api.half) if self._provider.asked(api) == 1 else None


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def pair(
    request: pytest.FixtureRequest, provider: Provider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stand]:
    state = None
    if request.param == "postgresql":
        state = cast("Cluster", request.getfixturevalue("cluster")).create("models_killed")
    yield from stand_in(tmp_path_factory.mktemp("killed"), provider, state=state, seconds=60, lease="8s")


def states(stand: Stand) -> list[str]:
    listed = cast("list[dict[str, object]]", stand.gates[-1].json("calls", "list", "--limit", "9"))
    return [str(one["state"]) for one in listed]


@pytest.mark.requirement("MOD-01")
def test_a_client_that_goes_away_in_mid_stream_gets_all_of_it_wherever_it_asks_again(
    pair: Stand, provider: Provider
) -> None:
    held = Held(provider)
    for api in APIS:
        assert api.events.startswith(begin(pair.gates[0].url, pair.key, api, f"gone-{api.name}"))
    threading.Timer(0.3, held.on.set).start()
    for api in APIS:  # the first of them while the stream still goes on
        again, replayed = (ask(pair.gates[-1].url, pair.key, api, f"gone-{api.name}", stream=True) for _ in range(2))
        assert again.content == replayed.content == api.events, api.name
        assert replayed.headers["oncegate-replayed"] == "true"
        assert provider.asked(api) == 1
    assert states(pair)[:3] == ["done"] * 3


@pytest.mark.requirement("MOD-02")
def test_a_gateway_killed_in_mid_stream_asks_once_more_and_the_whole_answer_is_kept(
    pair: Stand, provider: Provider
) -> None:
    held = Held(provider)
    first = pair.gates[0]
    for api in APIS:
        assert api.events.startswith(begin(first.url, pair.key, api, f"killed-{api.name}"))
    first.kill()
    held.on.set()
    if len(pair.gates) == 1:
        first.start()
        assert states(pair)[:3] == ["in_doubt"] * 3
    for api in APIS:  # with two instances, the other one takes over as soon as the lease is over
        again, replayed = (ask(pair.gates[-1].url, pair.key, api, f"killed-{api.name}", stream=True) for _ in range(2))
        assert again.status_code == 200, again.text
        assert again.content == replayed.content == api.events, api.name
        assert replayed.headers["oncegate-replayed"] == "true"
        assert provider.asked(api) == 2
    assert states(pair)[:3] == ["done"] * 3
    verified = pair.gates[-1].oncegate("audit", "verify")
    assert verified.returncode == 0, verified.stderr
