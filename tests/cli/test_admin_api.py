"""The admin API through its own ASGI app, as its TCP listener serves it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import httpx
import pytest

from gateway.admin.api import build_admin
from gateway.admin.parts import BODY_BYTES_MAX
from tests.cli.ledger import Ledger
from tests.cli.stand import HOST, parts_of

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.anyio

OPERATOR = "operator-token"
RESULT: dict[str, object] = {"content": [{"type": "text", "text": "charged"}]}


async def ask(
    ledger: Ledger,
    path: str,
    *,
    token: str | None = OPERATOR,
    method: str = "GET",
    body: object = None,
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    sent = {"host": HOST, "content-type": "application/json"} | dict(headers or {})
    if token is not None:
        sent["authorization"] = f"Bearer {token}"
    data = content if content is not None else (None if body is None else json.dumps(body).encode())
    transport = httpx.ASGITransport(build_admin(parts_of(ledger), listener="tcp"), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test:8081") as client:
        return await client.request(method, path, content=data, headers=sent)


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, object]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    value = cast("dict[str, object]", answer.json())
    assert value["code"] == code
    assert value["status"] == status
    return value


@pytest.mark.requirement("CLI-01")
@pytest.mark.parametrize(
    "path", ["/api/v1/runs", "/api/v1/calls", "/api/v1/calls/call_1", "/api/v1/openapi.json", "/", "/unknown"]
)
async def test_nothing_is_answered_without_a_credential(path: str) -> None:
    answer = await ask(Ledger(), path, token=None)
    problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"
    problem(await ask(Ledger(), path, token="wrong"), 401, "unauthenticated")


@pytest.mark.requirement("CLI-01")
async def test_health_says_that_the_process_answers_and_nothing_else() -> None:
    answer = await ask(Ledger(), "/healthz", token=None)
    assert answer.json() == {"status": "ok"}


@pytest.mark.requirement("CLI-02")
async def test_a_viewer_reads_but_may_not_settle_a_call_and_the_attempt_is_audited() -> None:
    ledger = Ledger()
    ledger.add_call("call_1", state="doubt")
    assert (await ask(ledger, "/api/v1/calls", token="viewer-token")).status_code == 200
    refused = await ask(
        ledger, "/api/v1/calls/call_1/resolve", token="viewer-token", method="POST", body={"verdict": "execute"}
    )
    problem(refused, 403, "denied")
    assert ledger.calls["call_1"].state == "doubt"
    (record,) = ledger.audit
    assert (record["principal"], record["resource"], record["action"]) == ("agent:acme/viewer", "admin/calls", "change")
    assert record["decision"] == "deny"


@pytest.mark.requirement("CLI-02")
@pytest.mark.parametrize("path", ["/api/v1/runs", "/api/v1/runs/run_1", "/api/v1/calls", "/api/v1/openapi.json"])
async def test_a_caller_no_line_allows_reads_nothing(path: str) -> None:
    ledger = Ledger()
    problem(await ask(ledger, path, token="nobody-token"), 403, "denied")
    assert len(ledger.audit) == 1


@pytest.mark.requirement("CLI-03")
async def test_a_foreign_host_or_origin_is_refused_and_no_cors_is_granted() -> None:
    problem(await ask(Ledger(), "/api/v1/runs", headers={"host": "evil.example"}), 421, "unknown_host")
    problem(await ask(Ledger(), "/healthz", headers={"host": "evil.example"}), 421, "unknown_host")
    problem(await ask(Ledger(), "/api/v1/runs", headers={"origin": "http://evil.example"}), 403, "foreign_origin")
    problem(await ask(Ledger(), "/api/v1/runs", headers={"origin": "null"}), 403, "foreign_origin")
    answer = await ask(Ledger(), "/api/v1/runs", headers={"origin": f"http://{HOST}"})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.requirement("CLI-04")
async def test_calls_are_listed_newest_first_and_by_filter() -> None:
    ledger = Ledger()
    ledger.add_call("call_1", run="run_1")
    ledger.add_call("call_2", state="doubt", agent="other", key="order-7")
    ledger.add_call("call_3", state="intent", resource="model/demo")
    shown = cast("list[dict[str, object]]", (await ask(ledger, "/api/v1/calls")).json())
    assert [call["id"] for call in shown] == ["call_3", "call_2", "call_1"]
    assert [call["state"] for call in shown] == ["in_flight", "in_doubt", "done"]
    assert {"id", "key", "run", "step", "resource", "state"} <= shown[0].keys()

    async def ids(query: str) -> list[str]:
        return [call["id"] for call in (await ask(ledger, f"/api/v1/calls?{query}")).json()]

    assert await ids("state=in_doubt") == ["call_2"]
    assert await ids("run=run_1") == ["call_1"]
    assert await ids("agent=other") == ["call_2"]
    assert await ids("resource=model/demo") == ["call_3"]
    assert await ids("limit=1") == ["call_3"]


@pytest.mark.requirement("CLI-04")
@pytest.mark.parametrize("query", ["state=doubtful", "sate=in_doubt", "limit=0", "limit=1001", "limit=x"])
async def test_a_filter_that_means_nothing_is_an_error_not_an_unfiltered_list(query: str) -> None:
    value = problem(await ask(Ledger(), f"/api/v1/calls?{query}"), 422, "invalid")
    assert query.partition("=")[0] in str(value["detail"])


@pytest.mark.requirement("CLI-05")
async def test_a_run_is_shown_with_its_calls_in_order() -> None:
    ledger = Ledger()
    parts = parts_of(ledger)
    await parts.open_run("billing", "acme", "run_1")
    ledger.add_call("call_b", run="run_1", step=2)
    ledger.add_call("call_a", run="run_1", step=1)
    ledger.add_call("call_x", run="run_2", step=1)
    run = (await ask(ledger, "/api/v1/runs/run_1")).json()
    assert [call["id"] for call in run["timeline"]] == ["call_a", "call_b"]
    assert (run["id"], run["agent"], run["state"], run["attempt"], run["result"]) == (
        "run_1",
        "billing",
        "running",
        1,
        None,
    )
    problem(await ask(ledger, "/api/v1/runs/run_9"), 404, "not_found")


@pytest.mark.requirement("CLI-06")
async def test_a_tool_call_that_happened_gets_the_result_given_and_who_and_why_is_audited() -> None:
    ledger = Ledger()
    ledger.add_call("call_1", state="doubt")
    raw = (
        b'{"verdict": "happened", "reason": "seen in the ledger",'
        b' "outcome": {"content": [], "structuredContent": {"usd": 12.50}}}'
    )
    answer = await ask(ledger, "/api/v1/calls/call_1/resolve", method="POST", content=raw)
    assert answer.json() == {"id": "call_1", "state": "done"}
    outcome = ledger.outcomes["call_1"]
    assert outcome.form == "result"
    assert outcome.body == b'{"content":[],"structuredContent":{"usd":12.50}}'
    (record,) = ledger.audit
    assert record["principal"] == "agent:acme/operator"
    assert record["deed"] == "resolve:happened"
    assert record["reason"] == "seen in the ledger"
    assert record["call"] == "call_1"


@pytest.mark.requirement("CLI-06")
async def test_a_model_call_that_happened_gets_the_body_given() -> None:
    ledger = Ledger()
    ledger.add_call("call_1", state="doubt", resource="model/demo")
    body = {
        "verdict": "happened",
        "outcome": {"object": "chat.completion", "choices": [{"message": {"content": "hi"}}]},
    }
    assert (await ask(ledger, "/api/v1/calls/call_1/resolve", method="POST", body=body)).status_code == 200
    assert ledger.outcomes["call_1"].form == "body"


@pytest.mark.requirement("CLI-06")
async def test_an_outcome_given_by_hand_is_redacted_like_an_upstreams() -> None:
    ledger = Ledger()
    ledger.add_call("call_1", state="doubt")
    body = {"verdict": "happened", "outcome": {"content": [{"type": "text", "text": "Ada paid"}]}}
    assert (await ask(ledger, "/api/v1/calls/call_1/resolve", method="POST", body=body)).status_code == 200
    assert b"Ada" not in ledger.outcomes["call_1"].body


@pytest.mark.requirement("CLI-07")
async def test_only_a_call_in_doubt_can_be_settled() -> None:
    ledger = Ledger()
    ledger.add_call("call_1", state="done")
    ledger.add_call("call_2", state="doubt")
    ledger.too_early.add("call_2")
    path = "/api/v1/calls/{}/resolve"
    body = {"verdict": "execute"}
    problem(await ask(ledger, path.format("call_1"), method="POST", body=body), 409, "not_in_doubt")
    problem(await ask(ledger, path.format("call_2"), method="POST", body=body), 409, "too_early")
    problem(await ask(ledger, path.format("call_9"), method="POST", body=body), 404, "not_found")
    assert ledger.audit == []


@pytest.mark.requirement("CLI-07")
@pytest.mark.parametrize(
    "body",
    [
        {"verdict": "happened"},
        {"verdict": "happened", "outcome": None},
        {"verdict": "happened", "outcome": "charged"},
        {"verdict": "happened", "outcome": {"text": "no result of a tool"}},
        {"verdict": "execute", "outcome": RESULT},
        {"verdict": "fail"},
        {"verdict": "fail", "reason": "two\nlines"},
        {"verdict": "fail", "reason": "x" * 501},
        {"verdict": "maybe"},
        {"verdict": "execute", "force": True},
        [],
    ],
)
async def test_a_decision_that_does_not_fit_settles_nothing(body: object) -> None:
    ledger = Ledger()
    ledger.add_call("call_1", state="doubt")
    problem(await ask(ledger, "/api/v1/calls/call_1/resolve", method="POST", body=body), 422, "invalid")
    assert ledger.calls["call_1"].state == "doubt"
    assert ledger.audit == []


@pytest.mark.requirement("CLI-08")
@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b'{"verdict": "fail", "verdict": "execute"}', 400, "malformed"),
        (b'{"verdict": ', 400, "malformed"),
        (b'{"verdict": "\xff"}', 400, "malformed"),
        (b"[" * 300, 400, "malformed"),
        (b" " * (BODY_BYTES_MAX + 1), 413, "too_large"),
    ],
)
async def test_a_body_that_is_not_plain_json_of_bounded_size_is_refused(content: bytes, status: int, code: str) -> None:
    ledger = Ledger()
    ledger.add_call("call_1", state="doubt")
    problem(await ask(ledger, "/api/v1/calls/call_1/resolve", method="POST", content=content), status, code)
    assert ledger.calls["call_1"].state == "doubt"


@pytest.mark.requirement("CLI-08")
async def test_a_journal_that_cannot_be_asked_is_said_so() -> None:
    ledger = Ledger()
    ledger.down = True
    problem(await ask(ledger, "/api/v1/runs"), 503, "unavailable")


@pytest.mark.requirement("CLI-09")
async def test_the_api_describes_itself_as_openapi_3_1() -> None:
    described = (await ask(Ledger(), "/api/v1/openapi.json")).json()
    assert described["openapi"].startswith("3.1")
    assert set(described["paths"]) >= {
        "/healthz", "/api/v1/runs", "/api/v1/runs/{run_id}", "/api/v1/calls", "/api/v1/calls/{call_id}",
        "/api/v1/calls/{call_id}/resolve", "/api/v1/store/accept",
    }  # fmt: skip
    assert described["components"]["securitySchemes"]


@pytest.mark.requirement("CLI-10")
async def test_runs_are_not_opened_for_agents_over_the_listener() -> None:
    body = {"agent": "billing", "domain": "acme"}
    problem(await ask(Ledger(), "/api/v1/runs", method="POST", body=body), 405, "method_not_allowed")


@pytest.mark.requirement("CLI-10")
async def test_the_sockets_api_answers_nobody_whose_process_was_not_looked_at() -> None:
    transport = httpx.ASGITransport(build_admin(parts_of(Ledger()), listener="socket"))
    async with httpx.AsyncClient(transport=transport, base_url="http://oncegate") as client:
        problem(await client.get("/api/v1/runs"), 403, "not_the_owner")
