"""SIGKILL of a whole gateway at every commit of a call: what was acknowledged stays, nothing happens twice unasked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from tests.gateway.model_upstream import ModelUpstream, Script
from tests.gateway.running import RunningGateway

if TYPE_CHECKING:
    from pathlib import Path


ASK = {"model": "allowed", "messages": [{"role": "user", "content": "hi"}]}
#: A provider-hosted tool makes a model call `once`.
HOSTED = ASK | {"tools": [{"type": "web_search"}]}
LINE = "p, role:clerk, acme, model/allowed/hosted/**, call, -, allow, -\n"


@pytest.mark.requirement("GW-30")
@pytest.mark.parametrize("effect", [pytest.param("safe", marks=pytest.mark.slow), "once"])
@pytest.mark.parametrize(
    # the journal's own tests meet every point in `make test`, tests/faults meets these again with two gateways
    "point",
    [
        pytest.param("before_intent_commit", marks=pytest.mark.slow),
        "after_intent_commit",
        pytest.param("before_outcome_commit", marks=pytest.mark.slow),
        pytest.param("after_outcome_commit", marks=pytest.mark.slow),
    ],
)
def test_a_gateway_killed_at_a_commit_never_repeats_once_and_loses_nothing_acknowledged(
    tmp_path: Path, point: str, effect: str
) -> None:
    upstream = ModelUpstream()
    gateway = RunningGateway(tmp_path, f"http://127.0.0.1:{upstream.port}/v1", inspects=False)
    rules = tmp_path / "policies" / "rules.csv"
    rules.write_text(rules.read_text(encoding="utf-8") + LINE, encoding="utf-8")
    body, key = (HOSTED if effect == "once" else ASK), {"idempotency-key": "the-call"}
    upstream.script = lambda _: Script()
    try:
        gateway.start(crash_point=point)
        with pytest.raises(httpx.TransportError):
            gateway.chat(body, headers=key)
        assert gateway.died()
        sent = len(upstream.received)
        assert sent == (1 if "outcome" in point else 0)
        gateway.start()
        doubts = gateway.calls("--state", "in_doubt")
        in_doubt = point in {"after_intent_commit", "before_outcome_commit"}
        assert len(doubts) == (1 if in_doubt else 0)
        answer = gateway.chat(body, headers=key)
        if in_doubt and effect == "once":
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "in_doubt")
            assert len(upstream.received) == sent
        else:
            assert answer.status_code == 200
            assert len(upstream.received) == (1 if point == "after_outcome_commit" else sent + 1)
            replay = gateway.chat(body, headers=key)
            assert replay.content == answer.content
        assert gateway.oncegate("audit", "verify").returncode == 0
    finally:
        gateway.stop()
        upstream.close()
