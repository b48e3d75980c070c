"""One gateway for all MCP tests, with the fixture behind it over HTTP and over standard streams."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.mcp.real import RealStand, real
from tests.mcp.stand import TOP, Stand, stand

if TYPE_CHECKING:
    from collections.abc import Iterator

#: `plain`, `narrow` and `spoken` are the fixture as well; `narrow` may be used in part only.
_POLICY = """\
p, role:any, *, mcp/everything, list, -, allow, -
p, role:any, *, mcp/everything/**, *, -, allow, redact=standard
p, role:any, *, mcp/plain, list, -, allow, -
p, role:any, *, mcp/plain/**, *, -, allow, redact=off
p, role:any, *, mcp/spoken, list, -, allow, -
p, role:any, *, mcp/spoken/**, *, -, allow, redact=off
p, role:any, *, mcp/older, list, -, allow, -
p, role:any, *, mcp/older/**, *, -, allow, redact=off
p, role:any, *, mcp/older_spoken, list, -, allow, -
p, role:any, *, mcp/older_spoken/**, *, -, allow, redact=off
p, role:any, *, mcp/old, list, -, allow, -
p, role:any, *, mcp/old/**, *, -, allow, redact=off
p, role:any, *, mcp/newer, list, -, allow, -
p, role:any, *, mcp/newer/**, *, -, allow, redact=off
p, role:any, *, mcp/newer_spoken, list, -, allow, -
p, role:any, *, mcp/newer_spoken/**, *, -, allow, redact=off
p, role:any, *, mcp/older_forms, list, -, allow, -
p, role:any, *, mcp/older_forms/**, *, -, allow, redact=standard
p, role:any, *, mcp/newer_forms, list, -, allow, -
p, role:any, *, mcp/newer_forms/**, *, -, allow, redact=standard
p, role:any, *, mcp/spoken_forms, list, -, allow, -
p, role:any, *, mcp/spoken_forms/**, *, -, allow, redact=standard
p, role:any, *, mcp/clock, list, -, allow, -
p, role:any, *, mcp/clock/tool/*, call, -, allow, redact=off
p, role:any, *, mcp/gone, list, -, allow, -
p, role:any, *, mcp/gone/**, *, -, allow, redact=off
p, role:any, *, mcp/node, list, -, allow, -
p, role:any, *, mcp/node/**, *, -, allow, redact=off
p, role:any, *, mcp/narrow, list, -, allow, -
p, role:any, *, mcp/narrow/tool/test_simple_*, call, -, allow, redact=off
p, role:any, *, mcp/narrow/tool/echo, call, -, allow, redact=standard
p, role:any, *, mcp/narrow/tool/test_custom_headers, call, -, allow, redact=standard
p, role:any, *, mcp/narrow/resource/test/static-text/**, read, -, allow, redact=off
p, role:any, *, mcp/narrow/resource/test/static-text, read, -, allow, redact=off
"""
_TOOLS = "{hold: {effect: safe, on_disconnect: cancel}, effect: {effect: once}, echo: {effect: keyed}}"


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("mcp")
    spoken = [sys.executable, "-m", "tests.mcp.fixture_server", "--effects", str(folder / "spoken.txt")]
    with_effects = [*spoken[:-1], str(folder / "effects.txt")]
    clock = [sys.executable, "-m", "mcp_server_time", "--local-timezone", "UTC"]
    everything = TOP / ".build/node/node_modules/@modelcontextprotocol/server-everything/dist/index.js"
    servers = (
        f"  narrow: {{url: '@direct@', tools: {_TOOLS}}}\n"
        f"  plain: {{url: '@direct@', tools: {_TOOLS}}}\n"
        f"  spoken: {{command: {spoken}, env: [PYTHONPATH], tools: {_TOOLS}}}\n"
        f"  older: {{url: '@direct@', era: legacy, tools: {_TOOLS}}}\n"
        f"  older_spoken: {{command: {spoken}, env: [PYTHONPATH], era: legacy}}\n"
        "  old: {url: '@old@', transport: sse}\n"
        f"  newer: {{url: '@direct@', era: modern, tools: {_TOOLS}}}\n"
        f"  newer_spoken: {{command: {spoken}, env: [PYTHONPATH], era: modern}}\n"
        "  older_forms: {url: '@direct@', era: legacy}\n"
        "  newer_forms: {url: '@direct@', era: modern}\n"
        f"  spoken_forms: {{command: {with_effects}, env: [PYTHONPATH]}}\n"
        f"  clock: {{command: {clock}}}\n"
        f"  node: {{command: [node, {everything}, stdio]}}\n"
        "  gone: {command: [/nonexistent/server]}\n"
    )
    with stand(folder, policy=_POLICY, servers=servers, tools=_TOOLS) as stood:
        yield stood


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStand]:
    with real(tmp_path_factory.mktemp("published")) as running:
        yield running
