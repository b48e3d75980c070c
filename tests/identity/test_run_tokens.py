"""The life of run tokens on a running gateway: each word of DESIGN section 6."""

from __future__ import annotations

import base64
import json
import threading
import time
from typing import TYPE_CHECKING, cast

import httpx
import pytest

from tests import keys
from tests.gateway.model_upstream import ModelUpstream, Script, completion
from tests.gateway.running import POLICIES, RunningGateway
from tests.identity.authority import AUDIENCE, ISSUER, claims, ec_jwk, jwks, sign
from tests.mcp.stand import eventually
from tests.runs.agent_server import AgentServer, Asked, Said

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.requirement("IDN-28")
HOUR = 3600
DOMAINS = f"""trust_domains:
  acme:
    api_keys_file: keys.yaml
    issuers:
      - {{issuer: "{ISSUER}", jwks_file: acme.json, algorithms: [ES256], audience: "{AUDIENCE}", agent_claim: agent,
         revoked_file: revoked.json, leeway: 0s}}
runs: {{seconds_max: 1h}}
approvals: {{wait: 0s}}
"""
RULES = """p, role:any, acme, model/allowed, call, -, allow, redact=off
p, agent:worker, acme, model/forbidden, call, -, allow, redact=off;approval=leads
p, agent:boss, acme, admin/approvals/leads, approve, -, allow, -
p, agent:lead, acme, admin/approvals/leads, approve, -, allow, -
"""
ASKED = {"model": "allowed", "messages": [{"role": "user", "content": "hi"}]}


class Stand:
    """A gateway with a model, an issuer and an agent that it invokes."""

    def __init__(self, gateway: RunningGateway, worker: AgentServer) -> None:
        self.gateway = gateway
        self.worker = worker
        self.hold = threading.Event()

    def post(self, path: str, token: str, content: object, **headers: str) -> httpx.Response:
        named = {"authorization": f"Bearer {token}", **{name.replace("_", "-"): one for name, one in headers.items()}}
        return httpx.post(f"{self.gateway.url}{path}", json=content, headers=named, timeout=60)

    def chat(self, token: str, **headers: str) -> httpx.Response:
        return self.post("/v1/chat/completions", token, ASKED, **headers)

    def opened(self, run: str | None = None, token: str | None = None) -> dict[str, object]:
        """Open a run, or its next attempt, with a key or another credential."""
        answer = self.post("/runs", token or self.gateway.keys["billing"], {} if run is None else {"id": run})
        assert answer.status_code == 200, answer.text
        return cast("dict[str, object]", answer.json())

    def revoke(self, **listed: list[str]) -> None:
        (self.gateway.folder / "revoked.json").write_text(json.dumps(listed), encoding="utf-8")

    def refuses(self, token: str) -> bool:
        return eventually(lambda: self.chat(token).status_code == 401)


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    upstream = ModelUpstream()
    upstream.script = lambda _: Script(body=completion())
    gateway = RunningGateway(tmp_path_factory.mktemp("tokens"), f"http://127.0.0.1:{upstream.port}/v1", inspects=False)
    found: list[Stand] = []

    def work(_: Asked) -> Said:
        found[0].hold.wait(60)
        return Said()

    worker = AgentServer(work)
    found.append(Stand(gateway, worker))
    text = gateway.config.read_text(encoding="utf-8")
    text = text.replace("trust_domains: {acme: {api_keys_file: keys.yaml}}\n", DOMAINS)
    agents = f"agents:\n  worker: {{url: '{worker.url}', domain: acme}}\n"
    gateway.config.write_text(text + agents, encoding="utf-8")
    (gateway.folder / "acme.json").write_bytes(jwks(ec_jwk("a")))
    found[0].revoke()
    kept = "".join(
        line for line in POLICIES.splitlines(keepends=True) if "careful" not in line and "closed" not in line
    )
    gateway.write_policies(kept + RULES)
    for name in ("boss", "lead"):
        gateway.keys[f"{name} decides"] = keys.add(gateway.folder / "keys.yaml", name, admin=True)
    gateway.keys["boss"] = keys.add(gateway.folder / "keys.yaml", "boss")
    gateway.start()
    yield found[0]
    found[0].hold.set()
    gateway.stop()
    worker.close()
    upstream.close()


def test_a_token_lives_for_its_attempt_and_no_older_one(stand: Stand) -> None:
    first = stand.opened()
    assert stand.chat(str(first["token"])).status_code == 200
    second = stand.opened(str(first["id"]))
    assert (first["attempt"], second["attempt"]) == (1, 2)
    superseded = stand.chat(str(first["token"]))
    assert (superseded.status_code, superseded.json()["error"]["code"]) == (409, "attempt_superseded")
    assert superseded.headers["x-should-retry"] == "false"
    assert stand.chat(str(second["token"])).status_code == 200


def test_a_token_ends_with_its_run_finished_failed_or_cancelled(stand: Stand) -> None:
    for state in ("finished", "failed"):
        run = stand.opened()
        over = stand.post(f"/runs/{run['id']}/finish", str(run["token"]), {"attempt": 1, "state": state})
        assert over.status_code == 200, over.text
        assert stand.chat(str(run["token"])).json()["error"]["code"] == "run_closed"
    run = stand.opened()
    assert stand.gateway.oncegate("runs", "cancel", str(run["id"])).returncode == 0
    refused = stand.chat(str(run["token"]))
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "run_closed")


def test_a_token_is_signed_for_one_run_and_attempt_and_lives_no_longer_than_configured(stand: Stand) -> None:
    run = stand.opened()
    payload = str(run["token"]).removeprefix("ogr_").partition(".")[0]
    name, attempt, expires = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert (name, attempt) == (run["id"], 1)
    assert HOUR - 120 < expires - time.time() <= HOUR


def test_a_token_is_its_own_agents_and_nobody_elses_run(stand: Stand) -> None:
    run, other = stand.opened(), stand.opened()
    foreign = stand.chat(stand.gateway.keys["shipping"], oncegate_run=str(run["id"]))
    assert (foreign.status_code, "run" in foreign.json()["error"]["message"]) == (404, True)
    taken = stand.post("/runs", stand.gateway.keys["shipping"], {"id": run["id"]})
    assert taken.status_code == 404
    # it names its own run, and opens nothing but that
    assert stand.chat(str(run["token"]), oncegate_run=str(other["id"])).status_code == 400
    assert stand.post("/runs", str(run["token"]), {}).status_code == 403
    end = {"attempt": 1, "state": "failed"}
    assert stand.post(f"/runs/{other['id']}/finish", str(run["token"]), end).status_code == 404
    assert stand.chat(str(other["token"])).status_code == 200
    read = httpx.get(
        f"{stand.gateway.url}/runs/{other['id']}", headers={"authorization": f"Bearer {run['token']}"}, timeout=60
    )
    assert read.status_code == 404
    owned = httpx.get(
        f"http://127.0.0.1:{stand.gateway.admin_port}/api/v1/runs",
        headers={"authorization": f"Bearer {run['token']}"}, timeout=60,
    )  # fmt: skip
    assert owned.status_code == 401


def test_a_run_outlives_its_openers_token_but_not_its_revocation(stand: Stand) -> None:
    now = int(time.time())
    short = sign(claims(agent="nightly", sub="client-7", jti="short", exp=now + 2))
    token = str(stand.opened(token=short)["token"])
    assert eventually(lambda: stand.chat(short).status_code == 401)
    assert stand.chat(token).status_code == 200
    stand.revoke(jti=["short"])
    assert stand.refuses(token)
    # a subject may be neither the agent nor the user
    by_subject = str(stand.opened(token=sign(claims(agent="nightly", sub="client-8", jti="t-8")))["token"])
    assert stand.chat(by_subject).status_code == 200
    stand.revoke(sub=["client-8"])
    assert stand.refuses(by_subject)
    stand.revoke()


def test_an_invoked_run_ends_with_the_revocation_of_who_opened_it(stand: Stand) -> None:
    stand.hold.clear()
    asked = len(stand.worker.asked)
    opener = sign(claims(agent="nightly", sub="client-9", jti="t-9"))
    answer = stand.post("/runs", opener, {"agent": "worker", "input": {}})
    assert answer.status_code == 200, answer.text
    token = stand.worker.wait_asked(asked + 1)[-1].token
    assert stand.chat(token).status_code == 200
    stand.revoke(sub=["client-9"])
    try:
        assert stand.refuses(token)
    finally:
        stand.revoke()
        stand.hold.set()


@pytest.mark.requirement("APR-04")
def test_who_opened_a_run_cannot_approve_what_it_asks_for(stand: Stand) -> None:
    stand.hold.clear()
    asked, place = len(stand.worker.asked), f"http://127.0.0.1:{stand.gateway.admin_port}/api/v1/approvals"
    answer = stand.post("/runs", stand.gateway.keys["boss"], {"agent": "worker", "input": {}})
    assert answer.status_code == 200, answer.text
    token = stand.worker.wait_asked(asked + 1)[-1].token
    pending = stand.post("/v1/chat/completions", token, {**ASKED, "model": "forbidden"})
    assert pending.json()["error"]["code"] == "approval_pending", pending.text

    def decides(name: str, method: str, path: str = "") -> httpx.Response:
        headers = {"authorization": f"Bearer {stand.gateway.keys[f'{name} decides']}"}
        return httpx.request(method, f"{place}{path}", headers=headers, json={}, timeout=60)

    (waiting,) = [one for one in decides("lead", "GET").json() if one["resource"] == "model/forbidden"]
    assert decides("boss", "POST", f"/{waiting['id']}/approve").status_code == 403
    assert decides("lead", "POST", f"/{waiting['id']}/approve").status_code == 200
    stand.hold.set()


def test_runs_of_a_blocked_agent_and_of_a_revoked_key_stop(stand: Stand) -> None:
    gateway = stand.gateway
    run = stand.opened()
    assert gateway.oncegate("block", "agent:acme/billing", "--reason", "wild").returncode == 0
    assert eventually(lambda: stand.chat(str(run["token"])).status_code == 403)
    assert gateway.oncegate("unblock", "agent:acme/billing", "--reason", "tame").returncode == 0
    assert eventually(lambda: stand.chat(str(run["token"])).status_code == 200)
    name = gateway.keys["billing"].split("_")[1]
    assert gateway.oncegate("token", "revoke", name).returncode == 0
    assert stand.refuses(str(run["token"]))


def test_an_issuer_that_is_configured_no_more_has_revoked_its_runs(stand: Stand) -> None:
    token = str(stand.opened(token=sign(claims(agent="nightly", sub="client-10", jti="t-10")))["token"])
    assert stand.chat(token).status_code == 200
    stand.gateway.stop()
    text = stand.gateway.config.read_text(encoding="utf-8")
    stand.gateway.config.write_text(text.replace(f'issuer: "{ISSUER}"', 'issuer: "https://idp.example/new"'))
    stand.gateway.start()
    assert stand.chat(token).status_code == 401
