"""Traces as a real collector gets them."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from gateway.evidence import Evidence
from gateway.spans import span_name, trace_of, traceparent_for
from gateway.telemetry import CLOSE_SECONDS_MAX, Telemetry
from gateway.trail import new_audit_id
from policy.decision import Decision, LineRef, Principal
from tests.pace import paced
from tests.telemetry.collector import Collector, attributes_of

if TYPE_CHECKING:
    from gateway.evidence import Ending

AUDIT_ID = "0199aa00bb0c" + "0123456789abcdef0123"
THEIRS = "4bf92f3577b34da6a3ce929d0e0e4736"
LINE = LineRef(id="policies/rules.csv:4", file="policies/rules.csv", line=4, text="p, ...")
EVIDENCE = Evidence(
    audit_id=AUDIT_ID, correlation="c0ffee", adapter="openai_chat", endpoint="openai_chat",
    principal=Principal(agent="billing", domain="acme", method="api_key", credential="k1"),
    resource="model/gpt-5-mini", resource_domain="vendors", action="call", effect="safe",
    decision=Decision(effect="allow", reason="allowed", line=LINE, digest="sha256:ab"), ending="executed",
    call_id="call-7", run="run-1", attempt=2, occurrence=3, stream=True, start=1000.0, end=1002.5,
    upstream_start=1000.5, upstream_end=1002.0, redacted_outward={"PERSON": 2}, redacted_inward={"EMAIL_ADDRESS": 1},
    usage={"input_tokens": 100, "output_tokens": 20}, cost_usd=0.5, arguments_digest="aa", result_digest="bb",
    protocol_facts={"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-5-mini"},
)  # fmt: skip


def exported(*evidence: Evidence) -> list[Span]:
    with Collector() as sink:
        telemetry = Telemetry(sink.url + "/", gather_seconds=0.01)
        for one in evidence:
            telemetry.record(one)
        telemetry.close()
        assert (telemetry.dropped, telemetry.lost) == (0, 0)
        return [span for span in sink.spans() if not span.name.startswith("invoke_agent")]


@pytest.mark.requirement("TEL-01")
def test_a_call_is_a_server_span_and_below_it_the_upstreams_client_span_in_the_audits_trace() -> None:
    server, client = exported(EVIDENCE)
    assert (server.kind, client.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    assert server.trace_id.hex() == client.trace_id.hex() == trace_of(AUDIT_ID, "run-1")
    assert client.parent_span_id == server.span_id
    assert server.span_id != client.span_id
    times = [server.start_time_unix_nano, client.start_time_unix_nano, client.end_time_unix_nano]
    assert [*times, server.end_time_unix_nano] == [1000 * 10**9, 1000.5 * 10**9, 1002 * 10**9, 1002.5 * 10**9]
    assert server.name == client.name == "chat gpt-5-mini"


@pytest.mark.requirement("TEL-01")
def test_the_context_an_upstream_gets_is_the_client_span() -> None:
    _, client = exported(EVIDENCE)
    assert traceparent_for(AUDIT_ID, "run-1") == f"00-{client.trace_id.hex()}-{client.span_id.hex()}-01"


@pytest.mark.requirement("TEL-13")
def test_a_run_is_one_connected_trace_and_a_call_without_one_its_audit_records() -> None:
    second = replace(EVIDENCE, audit_id=new_audit_id())
    alone = replace(EVIDENCE, audit_id=new_audit_id(), run=None)
    with Collector() as sink:
        telemetry = Telemetry(sink.url, gather_seconds=0.01)
        for one in (EVIDENCE, second, alone):
            telemetry.record(one)
        telemetry.close()
        root, *calls, server, client = sink.spans()
    assert (root.name, root.parent_span_id) == ("invoke_agent billing", b"")
    assert len(calls) == 4
    known = {root.span_id} | {span.span_id for span in calls}
    assert {span.trace_id for span in calls} == {root.trace_id}
    assert {span.parent_span_id for span in calls} <= known
    assert server.trace_id.hex() == client.trace_id.hex() == alone.audit_id
    assert server.parent_span_id == b""


@pytest.mark.requirement("TEL-01")
def test_every_audit_id_makes_a_valid_context() -> None:
    for audit_id in ("0" * 31 + "1", "0199aa00bb0c0123" + "0" * 16, *(new_audit_id() for _ in range(100))):
        version, trace_id, span_id, flags = traceparent_for(audit_id).split("-")
        assert (version, flags, len(trace_id), len(span_id)) == ("00", "01", 32, 16)
        assert int(trace_id, 16) != 0
        assert int(span_id, 16) != 0


@pytest.mark.requirement("TEL-01")
def test_an_upstream_gets_a_context_only_where_traces_are_collected() -> None:
    with Collector() as sink:
        telemetry = Telemetry(sink.url)
        assert telemetry.context(AUDIT_ID) == ((b"traceparent", traceparent_for(AUDIT_ID).encode()),)
        telemetry.close()
    assert Telemetry(None).context(AUDIT_ID) == ()


@pytest.mark.requirement("TEL-02")
def test_attributes_follow_the_genai_conventions_and_our_own_names() -> None:
    server, client = exported(EVIDENCE)
    shared = {
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-5-mini", "gen_ai.provider.name": "openai",
        "gen_ai.request.stream": True, "oncegate.audit.id": AUDIT_ID, "oncegate.correlation.id": "c0ffee",
        "oncegate.call.id": "call-7", "http.response.status_code": 200,
    }  # fmt: skip
    assert attributes_of(client) == shared | {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20}
    assert attributes_of(server) == shared | {
        "oncegate.principal": "agent:acme/billing", "oncegate.auth.method": "api_key",
        "oncegate.trust_domain.source": "acme", "oncegate.trust_domain.target": "vendors",
        "oncegate.resource": "model/gpt-5-mini", "oncegate.action": "call", "oncegate.effect": "safe",
        "oncegate.decision": "allow", "oncegate.rule.id": "policies/rules.csv:4",
        "oncegate.policy.digest": "sha256:ab", "oncegate.ending": "executed", "oncegate.replayed": False,
        "oncegate.run.id": "run-1", "oncegate.run.attempt": 2, "oncegate.step.occurrence": 3,
        "oncegate.cost.usd": 0.5, "oncegate.arguments.hmac": "aa", "oncegate.result.hmac": "bb",
        "oncegate.redaction.outward.person": 2, "oncegate.redaction.inward.email_address": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"mcp.method.name": "tools/call", "gen_ai.tool.name": "pay", "gen_ai.operation.name": "execute_tool"},
         "tools/call pay"),
        ({"mcp.method.name": "resources/read"}, "resources/read"),
        ({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}, "chat m"),
        ({}, "openai_chat"),
    ],
)  # fmt: skip
@pytest.mark.requirement("TEL-02")
def test_spans_are_named_by_operation_and_what_it_is_done_to(facts: dict[str, str], name: str) -> None:
    assert span_name(replace(EVIDENCE, protocol_facts=facts)) == name


@pytest.mark.parametrize(
    ("ending", "refusal", "status", "errors"),
    [
        ("executed", None, 200, (None, None)),
        ("executed", None, 404, (None, "404")),
        ("executed", None, 502, ("502", "502")),
        ("in_doubt", "in_doubt", 409, ("in_doubt", "in_doubt")),
        ("not_executed", "upstream_unreachable", 502, ("upstream_unreachable", "not_executed")),
    ],
)
@pytest.mark.requirement("TEL-02")
def test_what_went_wrong_is_said_on_the_side_where_it_did(
    ending: Ending, refusal: str | None, status: int, errors: tuple[str | None, str | None]
) -> None:
    for span, error in zip(
        exported(replace(EVIDENCE, ending=ending, refusal=refusal, status=status)), errors, strict=True
    ):
        assert attributes_of(span).get("error.type") == error
        assert span.status.code == (Status.STATUS_CODE_UNSET if error is None else Status.STATUS_CODE_ERROR)
        assert span.status.message == ""


@pytest.mark.parametrize("ending", ["refused", "replayed"])
@pytest.mark.requirement("TEL-02")
def test_a_call_that_was_not_sent_has_no_client_span_and_spends_no_tokens(ending: Ending) -> None:
    (server,) = exported(replace(EVIDENCE, ending=ending, upstream_start=None, upstream_end=None))
    assert attributes_of(server)["oncegate.replayed"] == (ending == "replayed")
    assert not any(name.startswith("gen_ai.usage") for name in attributes_of(server))


@pytest.mark.requirement("TEL-03")
def test_inbound_trace_context_is_a_link_and_never_a_parent() -> None:
    server, _ = exported(replace(EVIDENCE, run=None, traceparent=f"00-{THEIRS}-00f067aa0ba902b7-01"))
    assert server.trace_id.hex() != THEIRS
    assert server.parent_span_id == b""
    assert [(link.trace_id.hex(), link.span_id.hex()) for link in server.links] == [(THEIRS, "00f067aa0ba902b7")]


@pytest.mark.parametrize(
    "traceparent",
    [
        "", "garbage", f"00-{THEIRS}-00f067aa0ba902b7", f"01-{THEIRS}-00f067aa0ba902b7-01",
        f"00-{THEIRS.upper()}-00f067aa0ba902b7-01", f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{THEIRS}-{'0' * 16}-01", f"00-{THEIRS}-00f067aa0ba902b7-01\n", "\u0661" * 55,
    ],
)  # fmt: skip
@pytest.mark.requirement("TEL-03")
def test_context_that_is_none_is_left_out(traceparent: str) -> None:
    server, _ = exported(replace(EVIDENCE, traceparent=traceparent))
    assert len(server.links) == 0


@pytest.mark.requirement("TEL-04")
def test_a_resources_address_is_content_and_stays_out() -> None:
    resource = "mcp/files/resource/file/-/home/jane%40example.org/cv.pdf"
    spans = exported(replace(EVIDENCE, resource=resource))
    assert attributes_of(spans[0])["oncegate.resource"] == "mcp/files/resource/file/**"
    assert not any(b"jane" in span.SerializeToString() for span in spans)


@pytest.mark.requirement("TEL-05")
def test_nothing_recorded_in_time_is_lost_however_many_calls_there_are() -> None:
    many = [replace(EVIDENCE, run=None, audit_id=new_audit_id()) for _ in range(1500)]
    with Collector() as sink:
        telemetry = Telemetry(sink.url, gather_seconds=0.01)
        for one in many:
            telemetry.record(one)
        assert sink.holds_spans(3000)
        telemetry.close()
        assert (telemetry.dropped, telemetry.lost) == (0, 0)
        spans = sink.spans()
    assert {span.trace_id.hex() for span in spans} == {one.audit_id for one in many}
    assert len(spans) == 3000


@pytest.mark.requirement("TEL-05")
def test_a_collector_that_is_away_for_a_moment_gets_everything_once() -> None:
    with Collector("503") as sink:
        telemetry = Telemetry(sink.url, gather_seconds=0.01)
        telemetry.record(replace(EVIDENCE, run=None))
        assert sink.asked(2), "it is tried again"
        telemetry.close()
        assert (telemetry.lost, len(sink.spans())) == (0, 2)


@pytest.mark.requirement("TEL-06")
def test_recording_never_waits_for_a_collector_that_hangs_and_counts_what_does_not_fit() -> None:
    with Collector() as sink:
        sink.open.clear()
        telemetry = Telemetry(sink.url, waiting_max=10, gather_seconds=0.01)
        telemetry.record(EVIDENCE)
        assert sink.asked(1)
        with paced() as recording:
            for _ in range(1000):
                telemetry.record(EVIDENCE)
        assert recording.seconds < 1
        assert telemetry.dropped == 990
        with paced() as closing:
            telemetry.close()
        assert closing.seconds < CLOSE_SECONDS_MAX + 1
    for thread in threading.enumerate():  # its last words are not the next test's
        if thread.name == "oncegate-telemetry":
            thread.join(60)


@pytest.mark.requirement("TEL-06")
def test_calls_a_collector_refuses_are_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with Collector("400", "400", "400") as sink:
        telemetry = Telemetry(sink.url, gather_seconds=0.01)
        for count in range(1, 4):
            telemetry.record(EVIDENCE)
            assert sink.asked(count)
        telemetry.close()
    assert telemetry.lost == 3
    assert [record.getMessage() for record in caplog.records] == [
        "traces could not be delivered to `telemetry.otlp`, of 1 calls so far",
        "traces of 0 calls were dropped, of 3 not delivered",
    ]


@pytest.mark.requirement("TEL-06")
def test_a_call_that_cannot_be_made_into_spans_ends_nothing_but_itself() -> None:
    with Collector() as sink:
        telemetry = Telemetry(sink.url, gather_seconds=0.01)
        telemetry.record(replace(EVIDENCE, audit_id="no hex digits"))
        telemetry.record(EVIDENCE)
        telemetry.close()
        assert telemetry.lost + len(sink.spans()) // 2 == 2
        assert telemetry.lost >= 1


@pytest.mark.requirement("TEL-06")
def test_without_a_collector_nothing_is_kept() -> None:
    telemetry = Telemetry(None)
    telemetry.record(EVIDENCE)
    telemetry.close()
    assert (telemetry.dropped, telemetry.lost) == (0, 0)


@pytest.mark.requirement("TEL-06")
def test_what_comes_after_the_close_is_ignored() -> None:
    with Collector() as sink:
        telemetry = Telemetry(sink.url)
        telemetry.close()
        telemetry.record(EVIDENCE)
        telemetry.close()
        assert sink.spans() == []
