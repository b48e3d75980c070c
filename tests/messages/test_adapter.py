"""The messages adapter: what it reads, what it sends, what it makes of what escapes through the provider."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from durable.step import Outcome
from gateway import body
from gateway.call import Refusal, header
from gateway.protocols.anthropic_messages import MessagesAdapter
from gateway.protocols.anthropic_messages_frames import frames_of
from gateway.protocols.anthropic_messages_request import shape_of
from gateway.providers.anthropic import ANTHROPIC
from gateway.providers.target import ModelTarget
from redaction.walk import texts_in
from tests.emulator.anthropic import message, stream, text, thinking, tool_use
from tests.gateway.exchange import exchange

if TYPE_CHECKING:
    from gateway.call import Call, Upstream

PATH = "/v1/messages"
PNG = "iVBORw0KGgo="


def adapter(upstream_model: str = "claude", betas: frozenset[str] | None = None) -> MessagesAdapter:
    target = ModelTarget(
        name="claude", domain="vendors", provider=ANTHROPIC, upstream=cast("Upstream", None),
        upstream_model=upstream_model, credential=lambda: "upstream-key", seconds_max=30, betas=betas,
    )  # fmt: skip
    return MessagesAdapter({"claude": target})


def request(**fields: object) -> dict[str, object]:
    return {"model": "claude", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}], **fields}


def read(tree: object, headers: tuple[tuple[bytes, bytes], ...] = (), path: str = PATH) -> Call:
    return adapter().read(exchange(tree, headers=headers, path=path))


def asked(*blocks: object) -> dict[str, object]:
    return request(messages=[{"role": "user", "content": list(blocks)}])


@pytest.mark.requirement("MSG-01")
@pytest.mark.parametrize(
    ("tree", "status", "kind"),
    [
        (b"{", 400, "invalid_request_error"), (b"[]", 400, "invalid_request_error"),
        ({}, 400, "invalid_request_error"), ({"model": "claude"}, 400, "invalid_request_error"),
        (request(stream="yes"), 400, "invalid_request_error"), (request(model="other"), 404, "not_found_error"),
        (request(model=7), 400, "invalid_request_error"),
        (b'{"model":"claude","model":"claude"}', 400, "invalid_request_error"),
    ],
)  # fmt: skip
def test_an_unusable_request_is_refused_in_anthropics_form(tree: object, status: int, kind: str) -> None:
    with pytest.raises(Refusal) as caught:
        read(tree)
    reply = adapter().refuse(caught.value, None, ((b"oncegate-correlation", b"c0ffee"),))
    shown = cast("dict[str, dict[str, object]]", body.parse(reply.body))
    assert reply.status == caught.value.status == status
    assert shown["type"] == "error"
    assert shown["error"]["type"] == kind
    assert str(shown["error"]["message"]).startswith("oncegate: ")
    assert header(reply.headers, b"x-should-retry") == b"false"
    assert header(reply.headers, b"request-id") == b"c0ffee"
    assert b"c0ffee" not in reply.body


@pytest.mark.requirement("MSG-01")
@pytest.mark.parametrize("path", ["/v1/messages/batches", "/v1/messages/batches/b1/results", "/messages/batches"])
def test_batches_are_refused_by_what_to_do_instead(path: str) -> None:
    with pytest.raises(Refusal) as caught:
        read(request(), path=path)
    assert (caught.value.status, "send each request" in caught.value.message) == (404, True)


@pytest.mark.requirement("MSG-01")
def test_a_beta_that_is_not_allowed_and_a_foreign_workspace_are_refused_by_name() -> None:
    some = adapter(betas=frozenset({"a-1"}))
    some.read(exchange(request(), path=PATH, headers=((b"anthropic-beta", b"a-1"),)))
    for headers, named in [
        ((b"anthropic-beta", b"a-1, b-2"), "`b-2`"),
        ((b"anthropic-workspace-id", b"w"), "`anthropic-workspace-id`"),
        ((b"anthropic-user-profile-id", b"u"), "`anthropic-user-profile-id`"),
    ]:
        with pytest.raises(Refusal) as caught:
            some.read(exchange(request(), path=PATH, headers=(headers,)))
        assert named in caught.value.message


@pytest.mark.requirement("MSG-02")
def test_volatile_fields_and_key_order_leave_the_fingerprint_alone() -> None:
    plain = read(request(temperature=0.5)).canonical
    noisy = read(
        b'{"temperature":0.5,"service_tier":"auto","metadata":{"user_id":"x"},"max_tokens":10,'
        b'"messages":[{"content":"hi","role":"user"}],"model":"claude"}'
    ).canonical
    assert noisy == plain
    assert read(request(temperature=0.50001)).canonical != plain


@pytest.mark.requirement("MSG-02")
def test_the_results_of_equal_parallel_calls_may_come_in_any_order() -> None:
    def conversation(first: str, second: str) -> bytes:
        uses = [tool_use("pay", {"to": "x"}, "a"), tool_use("pay", {"to": "x"}, "b"), tool_use("other", {}, "c")]
        results = [{"type": "tool_result", "tool_use_id": use_id, "content": said}
                   for use_id, said in (("a", first), ("b", second), ("c", "other"))]  # fmt: skip
        return read(request(messages=[
            {"role": "assistant", "content": uses}, {"role": "user", "content": results},
        ])).canonical  # fmt: skip

    assert conversation("one", "two") == conversation("two", "one")
    assert conversation("one", "two") != conversation("one", "three")


@pytest.mark.requirement("MSG-03")
def test_an_unchanged_request_is_sent_as_it_came_with_the_gateways_credential_only() -> None:
    raw = b'{ "model":"claude", "vendor_field": 1.00, "messages":[ ] }'
    call = adapter().read(exchange(raw, path=PATH, headers=(
        (b"authorization", b"Bearer og_x"), (b"x-api-key", b"og_y"), (b"cookie", b"a=b"),
        (b"anthropic-beta", b"a-1"), (b"anthropic-version", b"2023-06-01"),
    )))  # fmt: skip
    sent = adapter().request(call, call.tree, upstream_key="k1")
    assert sent.body == raw
    assert sent.path == "/messages"
    assert header(sent.headers, b"x-api-key") == b"upstream-key"
    assert header(sent.headers, b"anthropic-beta") == b"a-1"
    assert [value for name, value in sent.headers if name == b"anthropic-version"] == [b"2023-06-01"]
    assert header(sent.headers, b"authorization") is None
    assert header(sent.headers, b"cookie") is None


@pytest.mark.requirement("MSG-03")
def test_as_many_betas_as_todays_clients_name_are_passed_on() -> None:
    betas = b",".join(b"some-longer-name-of-a-beta-2025-%02d-20" % number for number in range(30))
    call = adapter().read(exchange(request(), path=PATH, headers=((b"anthropic-beta", betas),)))
    assert header(adapter().request(call, call.tree, upstream_key="k1").headers, b"anthropic-beta") == betas


@pytest.mark.requirement("MSG-03")
def test_the_upstreams_own_model_name_and_a_version_are_put_in() -> None:
    renamed = adapter(upstream_model="claude-2026")
    call = renamed.read(exchange(request(x=1), path="/messages/count_tokens"))
    sent = renamed.request(call, call.tree, upstream_key=None)
    assert body.parse(sent.body) == request(x=1) | {"model": "claude-2026"}
    assert sent.path == "/messages/count_tokens"
    assert header(sent.headers, b"anthropic-version") is not None
    asked_beta = replace(exchange(request(), path=PATH), query=b"beta=true")
    assert renamed.request(renamed.read(asked_beta), {}, upstream_key=None).path == "/messages?beta=true"
    asked_other = replace(asked_beta, query=b"beta=true&key=x")
    assert renamed.request(renamed.read(asked_other), {}, upstream_key=None).path == "/messages"
    assert (call.journaled, call.effect, call.resource) == (False, "safe", "model/claude")


@pytest.mark.requirement("MSG-04")
@pytest.mark.parametrize(
    ("tree", "also", "effect"),
    [
        (request(tools=[{"name": "f"}, {"type": "custom", "name": "g"},
                        {"type": "bash_20250124", "name": "bash"}, {"type": "text_editor_20250728", "name": "s"},
                        {"type": "memory_20250818", "name": "memory"}, {"type": "computer_toolset_20260801"},
                        {"type": "computer_20250124", "name": "computer"}]), (), "safe"),
        (request(tools=[{"type": "web_search_20260318", "name": "web_search"}]),
         ("model/claude/hosted/web_search/-",), "once"),
        (request(tools=[{"type": "web_fetch_20250910", "allowed_domains": ["docs.example.com/a", "b.example"]}]),
         ("model/claude/hosted/web_fetch/docs.example.com", "model/claude/hosted/web_fetch/b.example"), "once"),
        (request(tools=[{"type": "code_execution_20250825", "name": "x"}], container="cont_1"),
         ("model/claude/hosted/code_execution/-", "model/claude/hosted/container/-"), "once"),
        (request(container={"skills": [{"type": "anthropic", "skill_id": "xlsx"}]}),
         ("model/claude/hosted/container/-", "model/claude/hosted/skill/xlsx"), "once"),
        (request(mcp_servers=[{"type": "url", "name": "m", "url": "https://Mcp.Example/x"}],
                 tools=[{"type": "mcp_toolset", "mcp_server_name": "m"}]),
         ("model/claude/hosted/mcp/mcp.example",), "once"),
        (request(tools=[{"type": "something_new_20300101"}]), ("model/claude/hosted/something_new/-",), "once"),
        (request(fallbacks=[{"model": "x"}]), ("model/claude/hosted/fallback/-",), "once"),
    ],
)  # fmt: skip
def test_what_the_provider_runs_reaches_or_keeps_is_a_resource_of_its_own(
    tree: dict[str, object], also: tuple[str, ...], effect: str
) -> None:
    call = read(tree)
    assert (call.also, call.effect) == (also, effect)


@pytest.mark.requirement("MSG-04")
@pytest.mark.parametrize(
    "url",
    ["https://evil.example\\\\@good.example/x", "https://good.example@evil.example/", "ftp://good.example", 1, None,
     "https://good.example:x/", "https://\u0433ood.example/", "https:///x"],
)  # fmt: skip
def test_a_server_whose_host_could_be_read_in_two_ways_is_refused(url: object) -> None:
    with pytest.raises(Refusal) as caught:
        read(request(mcp_servers=[{"type": "url", "name": "m", "url": url}]))
    assert caught.value.status == 400


@pytest.mark.requirement("MSG-04")
@pytest.mark.parametrize("name", ["tools", "mcp_servers"])
def test_what_should_be_a_list_and_is_none_is_refused_for_a_lenient_server_could_read_it(name: str) -> None:
    with pytest.raises(Refusal) as caught:
        read(request(**{name: {"url": "https://evil.example"}}))
    assert caught.value.message == f"`{name}` must be a list"


@pytest.mark.requirement("MSG-04")
def test_another_port_of_a_host_is_another_place() -> None:
    place = "model/claude/hosted/mcp/"
    for url, name in (("https://h.example:443/", "h.example"), ("https://h.example:80/", "h.example:80")):
        assert read(request(mcp_servers=[{"type": "url", "name": "m", "url": url}])).also == (place + name,)


@pytest.mark.requirement("MSG-04")
def test_ids_of_what_the_provider_keeps_are_named_and_those_in_an_agents_own_arguments_are_not() -> None:
    tree = request(
        container={"id": "cont_1", "skills": [{"type": "anthropic", "skill_id": "xlsx"},
                                              {"type": "custom", "skill_id": "skill_1"}]},
        messages=[
            {"role": "assistant", "content": [tool_use("f", {"file_id": "mine", "container": "mine"})]},
            {"role": "user", "content": [
                {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
                {"type": "tool_result", "tool_use_id": "toolu_01", "content": [
                    {"type": "image", "source": {"type": "file", "file_id": "file_2"}}]},
                {"type": "container_upload", "file_id": "file_3"},
            ]},
        ],
    )  # fmt: skip
    assert read(tree).objects == ("cont_1", "skill_1", "file_1", "file_2", "file_3")
    assert read(request(container="cont_2")).objects == ("cont_2",)


@pytest.mark.requirement("MSG-04")
@pytest.mark.parametrize("streamed", [False, True])
def test_a_message_that_diagnostics_compare_with_is_one_that_was_received(*, streamed: bool) -> None:
    first = request(diagnostics={"previous_message_id": None}, stream=streamed)
    assert read(first).objects == ()
    for tree, handed_out in ((first, ["msg_01"]), (request(stream=streamed), None)):
        reader = adapter().reader(read(tree))
        media = b"text/event-stream" if streamed else b"application/json"
        reader.begin(200, ((b"content-type", media),))
        reader.feed(stream(message(text("hi"))) if streamed else body.encode(message(text("hi"))))
        reader.end()
        objects = cast("dict[str, object]", reader.verdict().meta.get("objects", {}))
        assert objects.get("ids") == handed_out
    assert read(request(diagnostics={"previous_message_id": "msg_of_another"})).objects == ("msg_of_another",)


@pytest.mark.requirement("MSG-04")
def test_who_is_billed_is_not_the_agents_to_say() -> None:
    with pytest.raises(Refusal) as caught:
        read(request(billing_policy={"type": "billing_policy", "bill_to": "user_profile"}))
    assert (caught.value.status, "`billing_policy`" in caught.value.message) == (400, True)


@pytest.mark.requirement("MSG-07")
def test_the_same_tool_calls_are_seen_in_the_answer_and_in_the_next_request() -> None:
    uses = [tool_use("pay", {"to": "x"}, "a"), tool_use("other", {}, "b")]
    whole = message(text("let me"), *uses)
    for outcome in (
        Outcome(form="body", status=200, media="application/json", body=body.encode(whole)),
        Outcome(form="frames", status=200, media="text/event-stream", body=stream(whole)),
    ):
        asked_for = adapter().tools_asked(outcome)
        assert [(use.name, use.arguments) for use in asked_for] == [("pay", {"to": "x"}), ("other", {})]
    shown = adapter().results_shown(request(messages=[
        {"role": "assistant", "content": uses},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "ok"}]},
    ]))  # fmt: skip
    assert [(use.name, use.arguments) for use in shown] == [("pay", {"to": "x"})]


@pytest.mark.requirement("MSG-10")
def test_every_text_is_inspected_and_binary_sources_are_not() -> None:
    tree = request(
        system=[{"type": "text", "text": "in system"}],
        tools=[{"name": "f", "description": "in tool", "input_schema": {"type": "object", "properties": {
            "a": {"type": "string", "description": "in schema"}}}}],
        messages=[
            {"role": "user", "content": [
                {"type": "text", "text": "in text"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "not base64!"}},
                {"type": "document", "title": "in title", "context": "in context",
                 "source": {"type": "text", "media_type": "text/plain", "data": "in document"}},
                {"type": "search_result", "source": "in source", "title": "in result",
                 "content": [{"type": "text", "text": "in search"}]},
            ]},
            {"role": "assistant", "content": [thinking("signed thought"), tool_use("f", {"a": "in input"}),
                                              {"type": "redacted_thinking", "data": "opaque"}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_01", "content": [
                {"type": "text", "text": "in tool result"}]}]},
        ],
    )  # fmt: skip
    call = read(tree)
    texts = {found.value: found.is_fixed for found in texts_in(call.tree, call.shape)}
    inspected = {"in system", "in tool", "in schema", "in text", "in title", "in context", "in document", "in source",
                 "in result", "in search", "in input", "in tool result", "not base64!", "signed thought"}  # fmt: skip
    assert inspected <= set(texts)
    assert {said for said, fixed in texts.items() if fixed} == {"signed thought"}
    assert not {PNG, "opaque", "c2lnbmVk", "toolu_01"} & set(texts)
    kept = texts_in(tree, shape_of(tree, keeps_thinking=True))
    assert "signed thought" not in {found.value for found in kept}


@pytest.mark.requirement("MSG-12")
def test_a_whole_message_said_as_a_stream_reads_back_as_itself() -> None:
    blocks = [thinking("so"), text("hello"), tool_use("pay", {"to": "x"})]
    call = adapter().read(exchange(request(stream=True), path=PATH))
    outcome = Outcome(form="body", status=200, media="application/json", body=b"", meta={"source": "operator"})
    reply = adapter().present(call, outcome, body.encode(message(*blocks)), ())
    assert header(reply.headers, b"content-type") == b"text/event-stream"
    assert reply.body == frames_of(message(*blocks))
    asked_for = adapter().tools_asked(Outcome(form="frames", status=200, media="text/event-stream", body=reply.body))
    assert [(use.name, use.arguments) for use in asked_for] == [("pay", {"to": "x"})]
