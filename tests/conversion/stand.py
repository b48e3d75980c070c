"""A running gateway with a model of each provider, and both official SDKs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anthropic import Anthropic
from openai import OpenAI

from tests.gateway.model_upstream import Script
from tests.gateway.running import RunningGateway

if TYPE_CHECKING:
    from pathlib import Path

    from tests.emulator.anthropic import AnthropicEmulator
    from tests.gateway.model_upstream import ModelUpstream

MODELS = """models:
  claude: {provider: anthropic, url: "%(theirs)s/v1", credential: "file:upstream.key", upstream_model: up, domain: acme,
           max_output_tokens: 4096, price: {input: 1.0, output: 2.0}}
  limitless: {provider: anthropic, url: "%(theirs)s/v1", credential: "file:upstream.key", domain: acme}
  gpt: {provider: openai_compatible, url: "%(ours)s/v1", credential: "file:upstream.key", upstream_model: up,
        domain: acme, price: {input: 1.0, output: 2.0}}
  gpt-first: {provider: openai_compatible, url: "%(ours)s/v1", credential: "file:upstream.key", domain: acme,
              fallback: [limitless, claude]}
  claude-first: {provider: anthropic, url: "%(theirs)s/v1", credential: "file:upstream.key", domain: acme,
                 fallback: [gpt]}
"""
RULES = """p, role:clerk, acme, model/*, call, -, allow, redact=off
p, role:any, acme, run/*, create, -, allow, -
g, agent:billing, role:clerk, acme
"""


class Crossing:
    """`claude` is Anthropic's, `gpt` speaks chat; `theirs` and `ours` are what they are behind the gateway."""

    def __init__(self, folder: Path, theirs: AnthropicEmulator, ours: ModelUpstream) -> None:
        self.theirs = theirs
        self._clients: list[OpenAI | Anthropic] = []
        self.ours = ours
        self.gateway = RunningGateway(folder, "http://unused.example", inspects=False)
        config = self.gateway.config.read_text(encoding="utf-8")
        head, _, rest = config.partition("models:\n")
        models = MODELS % {"theirs": theirs.url, "ours": f"http://127.0.0.1:{ours.port}"}
        self.gateway.config.write_text(head + models + rest[rest.index("redaction:") :], encoding="utf-8")
        self.gateway.write_policies(RULES)

    def fresh(self) -> None:
        self.theirs.fresh()
        self.ours.received.clear()
        self.ours.script = lambda _: Script()

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.gateway.stop()
        self.theirs.close()
        self.ours.close()

    def openai(self) -> OpenAI:
        client = OpenAI(base_url=f"{self.gateway.url}/v1", api_key=self.gateway.keys["billing"], max_retries=0)
        self._clients.append(client)
        return client

    def anthropic(self) -> Anthropic:
        client = Anthropic(base_url=self.gateway.url, api_key=self.gateway.keys["billing"], max_retries=0)
        self._clients.append(client)
        return client
