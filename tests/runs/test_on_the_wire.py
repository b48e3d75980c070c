"""Runs and keys as they stand on the wire: who makes them, whose they are, and where their tokens never appear."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import httpx
import pytest

from tests.gateway.model_upstream import ModelUpstream, Script, completion
from tests.identity.authority import AUDIENCE, ISSUER, claims, ec_jwk, jwks, sign
from tests.runs.stand import Agent, Gateway, Tool, gateways, key_of

if TYPE_CHECKING:
    from collections.abc import Generator

RULES = """p, agent:maker, acme, run/maker, create, -, allow, -
p, role:any, acme, model/*, call, -, allow, -
p, role:any, acme, mcp/pay, list, -, allow, -
p, role:any, acme, mcp/pay/tool/*, call, -, allow, -
"""
DOMAIN = f"""trust_domains:
  acme:
    api_keys_file: keys.yaml
    issuers:
      - {{issuer: "{ISSUER}", jwks_file: acme.json, algorithms: [ES256], audience: "{AUDIENCE}", delegation: accept}}
"""


class Wire:
    """A running gateway with a tool whose every call is an effect. Only `maker` may begin runs."""

    def __init__(self, gateway: Gateway, tool: Tool, model: ModelUpstream) -> None:
        self.gateway = gateway
        self.tool = tool
        self.model = model
        self.maker = Agent(gateway.url, key_of([gateway], "maker"))
        self.other = Agent(gateway.url, key_of([gateway], "other"))

    def ask(self, token: str, amount: object, **headers: str) -> httpx.Response:
        """Charge an amount."""
        params = {"name": "charge", "arguments": {"amount": amount}}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        named = {"mcp-protocol-version": "2025-06-18", **{one.replace("_", "-"): said for one, said in headers.items()}}
        return Agent(self.gateway.url, token).post("/mcp/pay", message, **named)

    def for_user(self, user: str, *actors: str) -> str:
        """Return a token of `maker` on behalf of a user, with the actors before it."""
        act: dict[str, object] = {}
        for name in reversed(("maker", *actors)):
            act = {"sub": name, **({"act": act} if act else {})}
        return sign(claims(sub=user, act=act))


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Generator[Wire]:
    tool, model = Tool(), ModelUpstream()
    model.script = lambda _: Script(body=completion())
    folder = tmp_path_factory.mktemp("wire")
    try:
        with gateways(folder, model=f"http://127.0.0.1:{model.port}/v1", tool=tool.url) as (gateway,):
            policies = gateway.folder / "policies" / "rules.csv"
            people = "".join(
                f"p, {who}, acme, mcp/pay{what}, -, allow, -\n"
                for who in ("user:ann", "user:bob") for what in (", list", "/tool/*, call")
            )  # fmt: skip
            policies.write_text(RULES + people, encoding="utf-8")
            text = (gateway.folder / "oncegate.yaml").read_text(encoding="utf-8")
            text = text.replace("trust_domains: {acme: {api_keys_file: keys.yaml}}\n", DOMAIN)
            (gateway.folder / "oncegate.yaml").write_text(text, encoding="utf-8")
            (gateway.folder / "acme.json").write_bytes(jwks(ec_jwk("a")))
            found = Wire(gateway, tool, model)
            gateway.start()
            yield found
    finally:
        tool.close()
        model.close()


def code_of(answer: httpx.Response) -> str:
    return str(answer.json().get("error", {}).get("code"))


@pytest.mark.requirement("RUN-31")
def test_a_run_named_by_header_is_made_where_policy_lets_and_only_its_newest_attempt_goes_on(wire: Wire) -> None:
    refused = wire.ask(wire.other.token, 1, oncegate_run="job-1")
    assert (refused.status_code, len(wire.tool.effects)) == (403, 0)
    # attempts are the gateway's to number: nobody begins with a later one
    assert "attempt" in wire.ask(wire.maker.token, 1, oncegate_run="job-2", oncegate_attempt="3").text
    assert wire.tool.effects == []
    first = wire.ask(wire.maker.token, 1, oncegate_run="job-1", oncegate_attempt="1")
    assert first.json()["result"]["content"][0]["text"] == "charge 1"
    assert wire.maker.post("/runs", {"id": "job-1"}).json()["attempt"] == 2
    for number, again in (("1", False), ("3", False), ("2", True)):
        answer = wire.ask(wire.maker.token, 1, oncegate_run="job-1", oncegate_attempt=number)
        assert ("charge 1" in answer.text) is again, (number, answer.text)
        assert (answer.headers.get("oncegate-replayed") == "true") is again
    assert len(wire.tool.effects) == 1


@pytest.mark.requirement("RUN-32")
def test_a_run_token_in_a_path_stands_in_no_log_audit_or_upstream_and_makes_no_request_another_one(wire: Wire) -> None:
    opened = cast("dict[str, str]", wire.maker.post("/runs", {}).json())

    def asked(token: str) -> httpx.Response:
        base = f"{wire.gateway.url}/r/{token}/v1"
        body = {"model": "one", "messages": [{"role": "user", "content": f"call me at {base}"}]}
        # a key that an SDK demands is ignored, and sent to nobody
        headers = {"authorization": "Bearer sk-of-another-vendor"}
        return httpx.post(f"{base}/chat/completions", json=body, headers=headers, timeout=60)

    first = asked(opened["token"])
    assert first.status_code == 200, first.text
    again = cast("dict[str, str]", wire.maker.post("/runs", {"id": opened["id"]}).json())
    second = asked(again["token"])
    # the next attempt has another token: it is the same request all the same
    assert (second.content, second.headers["oncegate-replayed"]) == (first.content, "true")
    (seen,) = [one for one in wire.model.received if "call me at" in json.dumps(one)]
    assert "/r/run/v1" in json.dumps(seen)
    assert "sk-of-another-vendor" not in wire.model.authorizations[-1]
    errors = [httpx.get(f"{wire.gateway.url}/r/{again['token']}{path}", timeout=60) for path in ("/nowhere", "/v1/x")]
    assert [one.status_code for one in errors] == [404, 404]
    audit = wire.gateway.oncegate("audit", "export").stdout
    assert opened["id"] in audit
    log = (wire.gateway.folder / "gateway.log").read_text(encoding="utf-8")
    for token in (opened["token"], again["token"]):
        for place in (audit, log, *(one.text for one in errors), *(str(one.headers) for one in errors)):
            assert token not in place


@pytest.mark.requirement("RUN-33")
def test_a_run_and_a_key_belong_to_the_user_and_the_actors_they_were_made_for(wire: Wire) -> None:
    effects = len(wire.tool.effects)
    ann, bob = wire.for_user("ann"), wire.for_user("bob")
    via = wire.for_user("ann", "other")
    key = {"idempotency_key": "order-7"}
    told = [wire.ask(token, 7, **key) for token in (ann, ann, bob, via)]
    assert [answer.headers.get("oncegate-replayed") for answer in told] == [None, "true", None, None]
    assert told[0].json()["result"] == told[1].json()["result"]
    assert len(wire.tool.effects) == effects + 3
    run = wire.maker.post("/runs", {}).json()
    for token in (ann, bob, via):
        answer = wire.ask(token, 8, oncegate_run=str(run["id"]))
        assert (answer.status_code, "run" in answer.text) == (404, True)
    assert len(wire.tool.effects) == effects + 3


@pytest.mark.requirement("RUN-34")
def test_without_run_and_key_each_request_is_executed_and_in_a_bare_run_an_equal_one_is_answered_again(
    wire: Wire,
) -> None:
    effects = len(wire.tool.effects)
    for _ in range(2):
        assert "result" in wire.ask(wire.maker.token, 9).json()
    assert len(wire.tool.effects) == effects + 2
    told = [wire.ask(wire.maker.token, 10, oncegate_run="bare").json()["result"] for _ in range(3)]
    assert told == [told[0]] * 3
    assert len(wire.tool.effects) == effects + 3


@pytest.mark.requirement("RUN-35")
@pytest.mark.parametrize("key", ["k" * 129, "a b", "ключ", "../x", "k\u0000", "a/b"])
def test_a_key_beyond_its_form_is_refused_and_nothing_executed(wire: Wire, key: str) -> None:
    effects = len(wire.tool.effects)
    body = {
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "charge", "arguments": {"amount": 1}, "_meta": {"dev.oncegate/idempotency-key": key}},
    }  # fmt: skip
    answer = wire.maker.post("/mcp/pay", body, **{"mcp-protocol-version": "2025-06-18"})
    assert "1 to 128 characters" in answer.text
    assert len(wire.tool.effects) == effects
