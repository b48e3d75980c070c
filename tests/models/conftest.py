"""One gateway in front of a provider that speaks all three model APIs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.models.apis import Provider
from tests.runs.stand import gateways, key_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.runs.stand import Gateway

_CLAUDE = '  claude: {provider: anthropic, url: "%s/v1", domain: acme}\nmcp_servers:\n'


@dataclass
class Stand:
    """Gateways on one journal, one or two, and the key of an agent that all of them know."""

    gates: list[Gateway]
    key: str
    provider: Provider


def stand_in(
    folder: Path, provider: Provider, *, state: str | None = None, seconds: int, lease: str = "60s"
) -> Iterator[Stand]:
    """Give running gateways, two where `state` is a database; a provider may be silent for `seconds`."""
    url = provider.emulator.url
    parts = f"{{first_byte: {seconds}s, between_bytes: {seconds}s, total: 60s}}"
    more = f'resilience: {{"model/**": {{timeout: {parts}}}}}\n'
    # nobody calls the tool's server
    made = gateways(
        folder,
        model=f"{url}/v1",
        tool=f"{url}/mcp",
        state=state,
        count=1 if state is None else 2,
        more=more,
        lease=lease,
    )
    with made as gates:
        for one in gates:
            config = one.folder / "oncegate.yaml"
            text = config.read_text(encoding="utf-8")
            config.write_text(text.replace("mcp_servers:\n", _CLAUDE % url), encoding="utf-8")
        key = key_of(gates, "billing")
        for one in gates:
            one.start()
        yield Stand(gates, key, provider)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.emulator.close()


@pytest.fixture(scope="module")
def stand(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    yield from stand_in(tmp_path_factory.mktemp("models"), provider, seconds=3)
