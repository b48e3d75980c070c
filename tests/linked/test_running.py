"""A running gateway whose provider would fetch pictures and files by URL: hosts need a line, profiles have a say."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, cast

import httpx
import pytest

from tests.emulator.anthropic import AnthropicEmulator
from tests.gateway.running import RunningGateway

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.requirement("LINK-02")

MODELS = """models:
  plain: {provider: anthropic, url: "%(up)s/v1", credential: "file:upstream.key", domain: acme}
  looked: {provider: anthropic, url: "%(up)s/v1", credential: "file:upstream.key", domain: acme}
  strict: {provider: anthropic, url: "%(up)s/v1", credential: "file:upstream.key", domain: acme}
"""
RULES = """p, role:clerk, acme, model/*, call, -, allow, redact=off
p, role:clerk, acme, model/looked, call, -, allow, redact=looked
p, role:clerk, acme, model/strict, call, -, allow, redact=strict
p, role:clerk, acme, model/*/hosted/fetch/files.example, call, -, allow, -
p, role:clerk, acme, model/*/hosted/fetch/few.example, call, -, allow, limit=2/1h
p, role:any, acme, run/*, create, -, allow, -
g, agent:billing, role:clerk, acme
"""
#: Profiles that look, and would find nothing: they start no language model.
PROFILES = """
"off": {inspect: false}
looked: {default: keep}
strict: {default: keep, unscanned: block}
"""
PICTURE = {"type": "image", "source": {"type": "url", "url": "https://files.example/a.png"}}


@pytest.fixture(scope="module")
def provider() -> Iterator[AnthropicEmulator]:
    with closing(AnthropicEmulator()) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(provider: AnthropicEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    running = RunningGateway(tmp_path_factory.mktemp("linked"), provider.url, inspects=False)
    head, _, rest = running.config.read_text(encoding="utf-8").partition("models:\n")
    running.config.write_text(head + MODELS % {"up": provider.url} + rest[rest.index("redaction:") :], encoding="utf-8")
    (running.folder / "policies" / "redaction.yaml").write_text(PROFILES, encoding="utf-8")
    running.write_policies(RULES)
    running.start()
    yield running
    running.stop()


def ask(gateway: RunningGateway, model: str, *parts: object) -> httpx.Response:
    asked = {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": list(parts)}]}
    return httpx.post(f"{gateway.url}/v1/messages", json=asked, timeout=60, headers={
        "x-api-key": gateway.keys["billing"], "anthropic-version": "2023-06-01",
    })  # fmt: skip


def audited(gateway: RunningGateway) -> dict[str, object]:
    """Return the newest audit record of a decision."""
    done = gateway.oncegate("audit", "export")
    assert done.returncode == 0, done.stderr
    records = [cast("dict[str, object]", json.loads(line)) for line in done.stdout.splitlines()]
    bodies = [cast("dict[str, object]", one["record"]) for one in records if "record" in one]
    return [one for one in bodies if one["event"] == "decision"][-1]


def test_a_host_without_a_line_is_refused_by_its_name_and_nothing_is_sent(
    gateway: RunningGateway, provider: AnthropicEmulator
) -> None:
    provider.fresh()
    for url in ("https://evil.example/?what=the+agent+knows", "gs://bucket/x", "https://files.example.evil.example/"):
        answer = ask(gateway, "plain", {"type": "image", "source": {"type": "url", "url": url}})
        assert (answer.status_code, answer.json()["error"]["type"]) == (403, "permission_error")
    twice = ask(gateway, "plain", PICTURE, {"type": "document", "source": {"type": "url", "url": "https://b.example"}})
    assert twice.status_code == 403
    unclear = ask(gateway, "plain", {"type": "image", "source": {"type": "url", "url": "https://a@files.example/"}})
    assert (unclear.status_code, "could be read in two ways" in unclear.text) == (400, True)
    assert provider.received == []


def test_a_host_that_a_line_allows_is_fetched_counted_as_not_looked_into_or_blocked_by_a_profile(
    gateway: RunningGateway, provider: AnthropicEmulator
) -> None:
    provider.fresh()
    assert ask(gateway, "looked", PICTURE, PICTURE).status_code == 200
    assert audited(gateway)["passed"] == {"linked": 2}
    assert ask(gateway, "plain", PICTURE).status_code == 200
    assert len(provider.received) == 2
    blocked = ask(gateway, "strict", {"type": "text", "text": "see"}, PICTURE)
    assert blocked.status_code == 403
    assert "UNSCANNED at `/messages/0/content/1/source/url`" in blocked.text
    assert ask(gateway, "strict", {"type": "text", "text": "see"}).status_code == 200
    assert len(provider.received) == 3


@pytest.mark.requirement("LINK-04")
def test_a_dearer_tier_without_a_line_is_refused_in_each_protocol(
    gateway: RunningGateway, provider: AnthropicEmulator
) -> None:
    provider.fresh()
    asked = {"model": "plain", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    for path, more in (
        ("/v1/messages", {"speed": "fast"}), ("/v1/messages", {"service_tier": "priority"}),
        ("/v1/chat/completions", {"service_tier": "priority"}),
    ):  # fmt: skip
        named = {"authorization": f"Bearer {gateway.keys['billing']}"}
        answer = httpx.post(f"{gateway.url}{path}", json=asked | more, headers=named, timeout=60)
        assert answer.status_code == 403, answer.text
    assert provider.received == []
    assert ask(gateway, "plain", {"type": "text", "text": "hi"}).status_code == 200


def test_the_limit_of_a_hosts_line_is_kept(gateway: RunningGateway, provider: AnthropicEmulator) -> None:
    provider.fresh()
    few = {"type": "image", "source": {"type": "url", "url": "https://few.example/a.png"}}
    assert [ask(gateway, "plain", few).status_code for _ in range(3)] == [200, 200, 429]
    assert len(provider.received) == 2
    assert ask(gateway, "plain", {"type": "text", "text": "no picture"}).status_code == 200
