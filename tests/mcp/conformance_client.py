"""The conformance suite's view of a client: an agent that does what a scenario asks for, through the gateway or not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import urlsplit

from mcp import Client, MCPError
from mcp_types import ElicitRequestFormParams, ElicitResult

from tests.mcp import conformance

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from tests.mcp.relay import Relay

Mode = Literal["legacy", "2026-07-28", "auto"]
RUN_SECONDS_MAX = 60
_ROUNDS = ("test_mrtr_echo_state", "test_mrtr_unrelated", "test_mrtr_no_state", "test_mrtr_no_result_type")
#: What is called in a scenario that asks for no more than that.
_CALLS: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "tools_call": (("add_numbers", {"a": 5, "b": 3}),),
    "sse-retry": (("test_reconnection", {}),),
    "elicitation-sep1034-client-defaults": (("test_client_elicitation_defaults", {}),),
    "sep-2322-client-request-state": tuple((name, {}) for name in _ROUNDS),
}


async def elicited(context: object, params: object) -> ElicitResult:
    """Accept, with the defaults of the form (SEP-1034)."""
    del context
    content: dict[str, Any] = {}
    if isinstance(params, ElicitRequestFormParams):
        properties = cast("Mapping[str, Mapping[str, Any]]", params.requested_schema.get("properties", {}))
        content = {name: schema["default"] for name, schema in properties.items() if "default" in schema}
    return ElicitResult(action="accept", content=content)


async def act(client: Client, scenario: str, context: Mapping[str, Any]) -> None:
    """Do what `scenario` asks of a client."""
    tools = (await client.list_tools()).tools
    for name, arguments in _CALLS.get(scenario, ()):
        await client.call_tool(name, arguments)
    match scenario:
        case "http-custom-headers":
            for call in context["toolCalls"]:
                await client.call_tool(call["name"], call["arguments"])
        case "http-standard-headers":
            await client.call_tool(tools[0].name)
            await client.read_resource((await client.list_resources()).resources[0].uri)
            await client.get_prompt((await client.list_prompts()).prompts[0].name)
        case "http-invalid-tool-headers":
            for tool in tools:
                required = cast("list[str]", tool.input_schema.get("required", []))
                with contextlib.suppress(MCPError):
                    await client.call_tool(tool.name, dict.fromkeys(required, "x"))
        case _:
            pass  # to be there and to list the tools is all that is asked


class Agent(ThreadingHTTPServer):
    """Takes what the teller says and acts in `mode`, at `url` of the gateway, or at the suite's own server.

    `between` is the relay behind the gateway; `error` is what went wrong the last time.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Told)
        self.mode: Mode = "auto"
        self.url: str | None = None
        self.between: Relay | None = None
        self.error = ""

    async def acted(self, told: Mapping[str, str]) -> None:
        """Do what was told."""
        url = told["server"]
        if self.url is not None and self.between is not None:
            self.between.port = urlsplit(url).port or 0
            url = self.url
        try:
            async with Client(url, mode=self.mode, read_timeout_seconds=20, elicitation_callback=elicited) as client:
                await act(client, told["scenario"], json.loads(told["context"]))
        finally:
            if self.between is not None:  # the gateway keeps its sessions, the suite waits for their end
                self.between.drop()


class _Told(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Act, and say whether it went well."""
        agent = self.server
        assert isinstance(agent, Agent)
        told = json.loads(self.rfile.read(int(self.headers["content-length"])))
        try:
            asyncio.run(agent.acted(told))
            agent.error, status = "", 200
        except Exception as error:  # noqa: BLE001 - the outermost handler: whatever it is, the suite is told
            agent.error, status = repr(error), 500
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - the standard library's name
        """Say nothing."""


@contextlib.contextmanager
def agent(acting: Agent | None = None) -> Generator[Agent]:
    """Run an agent."""
    with acting or Agent() as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join(60)


def run(
    running: Agent, revision: str, scenario: str, *, extension: bool = False
) -> tuple[frozenset[str], frozenset[str]]:
    """Run one scenario with `running` as its client; returns the checks that hold, and those that do not.

    An `extension` is in no revision's set.
    """
    teller = Path(__file__).with_name("conformance_teller.py")
    folder = Path(tempfile.mkdtemp(prefix="oncegate-conformance-"))
    command = [f"{conformance.node()}/node", conformance.PEERS / "conformance" / "dist" / "index.js", "client",
               "--command", f"{sys.executable} -I -S {teller} {running.server_address[1]}", "--scenario", scenario,
               "--spec-version", revision, "-o", folder, *(["--force"] if extension else [])]  # fmt: skip
    try:
        subprocess.run(command, capture_output=True, check=False, timeout=RUN_SECONDS_MAX)
        checks = [one for path in folder.glob("**/checks.json")
                  for one in cast("list[dict[str, str]]", json.loads(path.read_text(encoding="utf-8")))]  # fmt: skip
    finally:
        shutil.rmtree(folder)
    failed = {f"{one['id']}: {one['name']}" for one in checks if one["status"] in {"FAILURE", "WARNING"}}
    passed = {f"{one['id']}: {one['name']}" for one in checks if one["status"] == "SUCCESS"}
    return frozenset(passed - failed), frozenset(failed)
