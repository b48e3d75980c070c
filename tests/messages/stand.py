"""A running gateway whose models are Anthropic's, and the official SDK in front of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anthropic import Anthropic, AsyncAnthropic

from tests.gateway.running import RunningGateway

if TYPE_CHECKING:
    from pathlib import Path

_MODEL = '{provider: anthropic, url: "%(up)s/v1", credential: "file:upstream.key", domain: acme'
MODELS = f"""models:
  allowed: {_MODEL}, upstream_model: up, price: {{input: 1.0, output: 2.0}}}}
  picky: {_MODEL}, betas: [a-1]}}
  forbidden: {_MODEL}}}
  gone: {{provider: anthropic, url: "http://127.0.0.1:9/v1", domain: acme}}
"""
INSPECTED = f"""
  careful: {_MODEL}}}
  thoughtful: {_MODEL}, signed_thinking: keep}}
"""
RULES = """p, role:clerk, acme, model/allowed, call, -, allow, redact=off
p, role:clerk, acme, model/picky, call, -, allow, redact=off
p, role:clerk, acme, model/gone, call, -, allow, redact=off
p, role:clerk, acme, model/allowed/hosted/web_search/docs.example.com, call, -, allow, -
p, role:any, acme, run/*, create, -, allow, -
g, agent:billing, role:clerk, acme
"""
INSPECTED_RULES = """p, role:clerk, acme, model/careful, call, -, allow, redact=standard;restore=*@agent
p, role:clerk, acme, model/thoughtful, call, -, allow, redact=standard
"""


def gateway_for(folder: Path, up: str, *, inspects: bool = False) -> RunningGateway:
    """Return a gateway, not yet started, with the models above; it starts slower where one of them is inspected."""
    running = RunningGateway(folder, up, inspects=inspects)
    text = running.config.read_text(encoding="utf-8")
    head, _, rest = text.partition("models:\n")
    models = MODELS + (INSPECTED if inspects else "")
    tail = rest[rest.index("redaction:") :]
    running.config.write_text(head + models % {"up": up} + tail, encoding="utf-8")
    running.write_policies(RULES + (INSPECTED_RULES if inspects else ""))
    return running


#: Closed at the end, so that no connection is left to the garbage collector.
CLIENTS: list[Anthropic] = []


def sdk(gateway: RunningGateway, *, key: str | None = None, path: str = "", retries: int = 0) -> Anthropic:
    client = Anthropic(base_url=gateway.url + path, api_key=key or gateway.keys["billing"], max_retries=retries)
    CLIENTS.append(client)
    return client


def async_sdk(gateway: RunningGateway) -> AsyncAnthropic:
    return AsyncAnthropic(base_url=gateway.url, auth_token=gateway.keys["billing"], api_key=None, max_retries=0)
