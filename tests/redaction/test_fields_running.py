"""Every text of every official type through one running gateway, both ways: who has a value afterwards, and who not.

`test_every_field.py` says of each place, in process, whether redaction takes a value out. Here the same places go over
the wire, each with a value of its own, many in a message: what the upstream received, what the agent received, the
database, the log, telemetry, the audit and every page of the admin API are searched for all of them.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, cast

import httpx
import mcp_types
import pytest
from anthropic.types.beta.message_create_params import MessageCreateParamsNonStreaming as BetaRequest
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming as ChatRequest
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming as ResponsesRequest

from tests import keys
from tests.mcp.stand import gateway, write
from tests.redaction import kept_fields as kept
from tests.redaction.every_field import Planter, alternatives
from tests.redaction.telling import ASKED, STREAM, Telling
from tests.redaction.test_every_field import SAID, demand, places
from tests.redaction.test_planted import command, shown
from tests.redaction.together import SEED, Values, numbers_in, together
from tests.telemetry.collector import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pydantic import BaseModel

    from tests.redaction.every_field import Planted
    from tests.redaction.together import Batch, Sample

Tree = dict[str, object]

POLICY: Final = """\
p, role:any, *, mcp/**, *, -, allow, redact=standard
p, role:any, *, model/**, *, -, allow, redact=standard
p, agent:boss, acme, admin/**, *, -, allow, -
"""
MORE: Final = """\
models:
  chat: {{provider: openai_compatible, url: "{url}/v1", upstream_model: up, objects: [said]}}
  responses: {{provider: openai, url: "{url}/v1", upstream_model: up, objects: [said]}}
  claude: {{provider: anthropic, url: "{url}/v1", upstream_model: up, objects: [said]}}
telemetry: {{otlp: "{sink}", content: redacted}}
trust_domains: {{acme: {{api_keys_file: keys.yaml}}}}
"""
CHAT, RESPONSES, MESSAGES, ECHO = "/v1/chat/completions", "/v1/responses", "/v1/messages", "/mcp/echo"
#: Where a kind of answer is asked for, and by what.
ASKS: Final[dict[str, Tree]] = {
    CHAT: {"model": "chat", "messages": [{"role": "user", "content": "hi"}]},
    RESPONSES: {"model": "responses", "input": "hi"},
    MESSAGES: {"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
}
#: Where a kind of answer comes from.
SAYS: Final = {"message": MESSAGES, "events of messages": MESSAGES, "response": RESPONSES,
               "events of responses": RESPONSES, "completion": CHAT, "chunks": CHAT}  # fmt: skip
ENDS: Final = {CHAT: b"data: [DONE]", RESPONSES: b"response.completed", MESSAGES: b"message_stop"}
#: Requests by path, their type, what passes, and what has the whole request refused: a model nobody configured, objects
#: of the provider that the caller did not receive (a value is no id), what a provider keeps or would fetch, and what
#: can only pass as it was signed.
REQUESTS: Final = (
    (CHAT, ChatRequest, kept.CHAT, r"\.model|.*\.audio\.id|.*\.file_id"),
    (RESPONSES, ResponsesRequest, kept.RESPONSES,
     (r"\.model|\.conversation(\.id)?|\.prompt\.id|\.previous_response_id|.*\.server_url|.*\.container|"
     r"\.input\.\*(\[\w+\])?\.id|.*(encrypted_content|fingerprint)|"
     r".*\.(file_id|file_ids\.\*|vector_store_ids\.\*|skill_id|container_id|approval_request_id|comparison_response_id)")),
    (MESSAGES, BetaRequest, kept.MESSAGES,
     (r"\.model|\.container(\.id)?|\.thread\b.*|\.billing_policy\b.*|.*\.previous_message_id|\.mcp_servers\.\*\[url\]\.url|"
     r".*\.skill_id|.*\.file_id|.*\[thinking\]\.thinking|.*(signature|encrypted_\w+|\[redacted_thinking\]\.data)")),
)  # fmt: skip
_SIGNED: Final = r".*\.thinking|.*(signature|encrypted_\w+|\[redacted_thinking\]\.data)"
#: What a model signed can pass as it is or not at all; an event that is an error ends the stream.
WITHHELD: Final = {"message": _SIGNED, "events of messages": _SIGNED, "response": r".*(encrypted_content|fingerprint)",
                   "events of responses": r"\[error\].*|.*(encrypted_content|fingerprint)"}  # fmt: skip
#: So many calls are looked at on their own pages; in lists and exports all are.
CALLS_SHOWN: Final = 20
HEADERS: Final = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18"}
URI: Final = "mem://notes/note"
GIVEN: Final[dict[object, Tree]] = {
    mcp_types.PromptReference: {"type": "ref/prompt", "name": "said"},
    mcp_types.Resource: {"name": "said", "uri": URI},
    mcp_types.ResourceTemplateReference: {"type": "ref/resource", "uri": URI},
    **{kind: {"uri": URI} for kind in (mcp_types.ReadResourceRequestParams, mcp_types.SubscribeRequestParams,
                                       mcp_types.UnsubscribeRequestParams)},
}  # fmt: skip
#: What is filled into a form that nobody has asked for.
FILLED: Final = r"\.content\.\{\}(\.\*)?"
#: What no message of MCP has, names that a server does not list, and what is filled into such a form.
UNASKED: Final = rf"\.\+|\.params\.name|\.params\.ref\[ref/prompt\]\.name|\.params\.inputResponses\.\{{\}}{FILLED}"
#: A tool or a prompt of a name that policy cannot speak of is not shown.
UNNAMED: Final = frozenset({".tools.*.name", ".prompts.*.name"})
#: Subjects of policy stand in the store of definitions as they were shown, and in the audit as they were asked for.
NAMES: Final = UNNAMED | {".resourceTemplates.*.uriTemplate", ".params.name", ".params.ref[ref/prompt].name"}
#: By which request a client gets a result.
GETS: Final[dict[object, tuple[str, Tree]]] = {
    mcp_types.EmptyResult: ("ping", {}),
    mcp_types.InitializeResult: ("initialize", {}),
    mcp_types.DiscoverResult: ("server/discover", {}),
    mcp_types.CompleteResult: ("completion/complete", {"ref": {"type": "ref/prompt", "name": "said"}}),
    mcp_types.GetPromptResult: ("prompts/get", {"name": "said"}),
    mcp_types.ListPromptsResult: ("prompts/list", {}),
    mcp_types.ListResourcesResult: ("resources/list", {}),
    mcp_types.ListResourceTemplatesResult: ("resources/templates/list", {}),
    mcp_types.ReadResourceResult: ("resources/read", {"uri": URI}),
    mcp_types.CallToolResult: ("tools/call", {"name": "said"}),
    mcp_types.ListToolsResult: ("tools/list", {}),
    mcp_types.SubscriptionsListenResult: ("subscriptions/listen", {}),
    mcp_types.InputRequiredResult: ("tools/call", {"name": "said"}),
}


class Route:
    """The gateway between an agent and its upstream; `paths` are the places of all values sent over it so far.

    `passed` are those that reached the other end, `answers` what the agent received.
    """

    def __init__(self, client: httpx.Client, upstream: Telling) -> None:
        self._client = client
        self._upstream = upstream
        self._values = Values()
        self._seen = (0, 0)
        self.paths: dict[int, str] = {}
        self.passed: set[int] = set()
        self.answers: list[bytes] = []

    def samples(self, kind: object) -> list[Sample]:
        """Return every place of a type, each with its own value; those of URIs inside a URI."""
        return [self.own(one) for one in Planter(SEED, GIVEN).planted(kind)]

    def own(self, planted: Planted) -> Sample:
        """Return a planted sample with its own value."""
        is_uri = planted.path.endswith((".uri", ".resourceSubscriptions.*"))
        made = self._values.own(planted, f"{URI}/" if is_uri else "")
        self.paths[made.number] = made.path
        return made

    def post(self, path: str, tree: Tree) -> httpx.Response:
        """Send a request and keep its answer."""
        answer = self._client.post(path, json=tree, headers=HEADERS if path == ECHO else {})
        self.answers.append(answer.content)
        return answer

    def told(self, media: str, content: bytes) -> None:
        """Have the model answer so from now on."""
        self._upstream.told = media, content

    def tells(self, *messages: Tree) -> None:
        """Have the server answer so from now on."""
        self._upstream.messages = messages

    def reached(self) -> set[str]:
        """Return the places whose values have reached the upstream since this, or `returned`, was asked last."""
        return self._new(b"\n".join(self._upstream.received[self._seen[0] :]))

    def returned(self) -> set[str]:
        """Return the places whose values have reached the agent since then."""
        return self._new(b"\n".join(self.answers[self._seen[1] :]))

    def only_here(self, content: bytes) -> set[str]:
        """Return the places whose values stand in `content` and reached nobody at the other end."""
        return {self.paths[number] for number in numbers_in(content) - self.passed}

    def _new(self, content: bytes) -> set[str]:
        self._seen = len(self._upstream.received), len(self.answers)
        found = numbers_in(content)
        self.passed |= found
        return {self.paths[number] for number in found}


def parted(samples: list[Sample], alone: str) -> tuple[list[Batch], list[Batch]]:
    """Return the samples in few messages, and those whose place is as `alone` says each in one of its own."""
    single = [one for one in samples if re.fullmatch(alone, one.path)]
    assert single or not alone
    return together([one for one in samples if one not in single]), [together([one])[0] for one in single]


def without(places: str, refused: Iterable[str]) -> str:
    """Return a list of places without some."""
    return "\n".join({*places.split()} - {*refused})


def method_of(kind: object) -> Tree:
    """Return the method of a message's type as a message has it, nothing for a result."""
    field = cast("type[BaseModel]", kind).model_fields.get("method")
    return {} if field is None else {"method": cast("str", field.default)}


def send_requests(route: Route) -> None:
    for path, kind, passes, alone in REQUESTS:
        joined, single = parted(route.samples(kind), alone)
        refused: list[set[str]] = []
        for one in (*joined, *single):
            model = {} if ".model" in one.paths else {"model": ASKS[path]["model"]}
            if route.post(path, {**one.tree, **model}).status_code != 200:
                refused.append(one.paths)
        assert [paths for paths in refused if len(paths) > 1] == []
        demand(route.reached(), without(passes, set[str]().union(*refused)))


def send_answers(route: Route) -> None:
    for name, kinds, _, ends, passes in SAID:
        path = SAYS[name]
        # texts of one place of a stream are read as one: a space parts them
        joined, single = parted([route.own(one) for one in places(kinds[-1:], f"{SEED} ")], WITHHELD.get(name, ""))
        withheld: list[set[str]] = []
        for one in (*joined, *single):
            told = json.dumps(one.tree).encode() if ends is None else streamed([one.tree, *ends], path)
            route.told("application/json" if ends is None else STREAM, told)
            answer = route.post(path, {**ASKS[path], "stream": ends is not None})
            if answer.status_code != 200 or (ends is not None and ENDS[path] not in answer.content):
                withheld.append(one.paths)
        assert [paths for paths in withheld if paths not in [one.paths for one in single]] == []
        demand(route.returned(), passes)


def streamed(events: Sequence[Tree], path: str) -> bytes:
    """Return events as each API frames them."""
    heads = [f"event: {one['type']}\n" if "type" in one else "" for one in events]
    content = "".join(f"{head}data: {json.dumps(one)}\n\n" for head, one in zip(heads, events, strict=True))
    return (content + ("" if path == MESSAGES else "data: [DONE]\n\n")).encode()


def send_to_server(route: Route) -> None:
    reached: set[str] = set()
    refused: set[str] = set()
    for kinds in (mcp_types.ClientRequest, mcp_types.ClientNotification, mcp_types.ClientResult):
        ident: Tree = {} if kinds is mcp_types.ClientNotification else {"id": 5}
        for kind in alternatives(kinds):
            method = method_of(kind)
            alone = UNASKED if method else FILLED if kind is mcp_types.ElicitResult else ""
            joined, single = parted(route.samples(kind), alone)
            for one in (*joined, *single):
                said = one.tree if method else {"result": one.tree}
                answer = route.post(ECHO, {"jsonrpc": "2.0", **ident, **method, **said})
                if is_refused := answer.status_code >= 400 or b"oncegate" in answer.content:
                    refused |= one.paths
                assert is_refused == (one in single), (one.paths, answer.text[:300])
            reached |= route.reached()
    demand(reached, without(kept.MCP_CLIENT, refused))


def send_from_server(route: Route) -> None:
    interim: list[Tree] = []
    for kinds in (mcp_types.ServerRequest, mcp_types.ServerNotification, mcp_types.JSONRPCError):
        ident: Tree = {"id": 7} if kinds is mcp_types.ServerRequest else {}
        for kind in alternatives(kinds):
            interim += [{**ident, **method_of(kind), **one.tree} for one in together(route.samples(kind))]
    route.tells(*interim, {"result": {"content": list[object]()}})
    answer = ask(route, mcp_types.CallToolResult)
    assert answer.content.count(b"data: ") == len(interim) + 1
    demand(route.returned(), kept.MCP_SERVER)
    returned: set[str] = set()
    for kind in alternatives(mcp_types.ServerResult):
        for one in together(route.samples(kind)):
            route.tells({"result": named(one.tree)})
            assert b'"result"' in ask(route, kind).content
            returned |= route.returned()
    demand(returned, without(kept.MCP_RESULTS, UNNAMED))


def ask(route: Route, kind: object) -> httpx.Response:
    """Ask the server for a result of a kind."""
    method, params = GETS[kind]
    return route.post(ECHO, {"jsonrpc": "2.0", "id": ASKED, "method": method, "params": params})


def named(result: Tree) -> Tree:
    """Return a result with a name of its own for each item listed: a second item of a name would be a change."""
    for listed, key, name in (("tools", "name", "said{}"), ("prompts", "name", "said{}"),
                              ("resourceTemplates", "uriTemplate", "mem://notes/{}/{{a}}")):  # fmt: skip
        for number, item in enumerate(cast("list[Tree]", result.get(listed, []))):
            if item[key] == "said":
                item[key] = name.format(number)
    return result


@pytest.mark.timeout(300)
@pytest.mark.requirement("RED-30", "RED-39")
def test_a_value_in_every_field_of_every_type_passes_a_running_gateway_in_structure_alone(tmp_path: Path) -> None:
    with Telling() as upstream, Collector() as sink:
        servers = f"  echo: {{url: '{upstream.url}/mcp', era: legacy}}\n"
        write(tmp_path, policy=POLICY, servers=servers, more=MORE.format(url=upstream.url, sink=sink.url))
        key = keys.add(tmp_path / "keys.yaml", "boss", admin=True)
        with gateway(tmp_path) as (url, _), httpx.Client(base_url=url, timeout=60) as client:
            route = Route(client, upstream)
            send_requests(route)
            send_answers(route)
            send_to_server(route)
            send_from_server(route)
            listing = command(tmp_path, "calls", "list", "--json", "--limit", "1000")
            pages = dict(shown(tmp_path, key, "said", CALLS_SHOWN))
        telemetry = b"".join(content for contents in sink.taken.values() for content in contents)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    audit = command(tmp_path, "audit", "export")
    searched = {**files, **pages, "calls": listing, "telemetry": telemetry, "audit": audit}
    assert {"oncegate.db", "gateway.log", "/metrics", "/api/v1/audit", "/api/v1/tools", "/"} <= searched.keys()
    told = {name: found for name, content in searched.items() if (found := route.only_here(content) - NAMES)}
    assert told == {}
    assert {name for name in ("gateway.log", "/metrics") if numbers_in(searched[name])} == set()
    assert b"EMAIL_" in telemetry
