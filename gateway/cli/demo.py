"""`oncegate demo`: the whole story on this machine, or the same set-up served to be tried by hand."""

from __future__ import annotations

import importlib
import importlib.util
import json
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from gateway.cli.output import NO, USAGE, Failure, note, screen
from gateway.demo.stage import Ports, Stage, StageError
from gateway.demo.telling import Telling

if TYPE_CHECKING:
    from collections.abc import Callable

_PORT = 8080


def demo(
    *,
    serve: Annotated[bool, typer.Option("--serve", help="Serve the demo's set-up until Ctrl-C.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Play in this new folder and keep it.")
    ] = None,
    port: Annotated[
        int, typer.Option(min=1, max=65534, help="With --serve: the agents' port; operators get the next.")
    ] = _PORT,
) -> None:
    """Show the whole story: crashes, doubts, denials, redaction, audit. Exits 1 when a claim does not hold."""
    if not serve and importlib.util.find_spec("openai") is None:
        raise Failure(USAGE, "the demo's agent needs the `openai` package: pip install 'oncegate[demo]'")
    if serve:
        _check_free(port, port + 1)
    place = _place(folder)
    try:
        status = _serve(place, port) if serve else _tell(place)
    except StageError as error:
        raise Failure(NO, f"the demo cannot go on: {error}; its files are in {place}") from None
    if status:
        note(f"its files are in {place}")
    elif folder is None:
        shutil.rmtree(place, ignore_errors=True)
    raise typer.Exit(status)


def _tell(place: Path) -> int:
    # only the story needs the agent's SDKs
    tell = cast("Callable[[Stage, Telling], int]", importlib.import_module("gateway.demo.story").tell)
    stage = Stage(folder=place, ports=Ports(), traces=True)
    try:
        return tell(stage, Telling())
    finally:
        stage.close()


def _serve(place: Path, port: int) -> int:
    stage = Stage(folder=place, ports=Ports(listen=port, admin=port + 1))
    # also SIGINT: a shell that starts us in the background has it ignored
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        note("starting the gateway, a demo model server and a demo payments server …")
        stage.prepare()
        operator = stage.key_of("operator", "--admin")
        stage.start_gateway()
        _say(stage, operator)
        return _until_ended(stage)
    except KeyboardInterrupt:
        return 0
    finally:
        stage.close()


def _until_ended(stage: Stage) -> int:
    if stage.gateway is None:
        raise AssertionError("the gateway was started")
    status = stage.gateway.wait()
    note(f"the gateway ended; its log is {stage.gateway_log}")
    return NO if status else 0


def _say(stage: Stage, operator: str) -> None:
    asked = "Who am I talking about: Ada Lovelace, ada@example.com, card 4111 1111 1111 1111"
    body = json.dumps({"model": "demo-model", "messages": [{"role": "user", "content": asked}]})
    out = screen()
    lines = (
        ("token", stage.token),
        ("models", f"{stage.url}/v1   (OpenAI API; model `demo-model` is the demo's script, not a real model)"),
        ("tools", f"{stage.url}/mcp/payments   (MCP; the demo's payments server)"),
        ("console", f"http://127.0.0.1:{stage.ports.admin}   (log in with {operator})"),
        ("operators", f"{_program()} calls list -c {stage.config}"),
        ("model saw", str(stage.model_log)),
    )
    for name, value in lines:
        out.print(f"{name.ljust(10)} {value}", soft_wrap=True, markup=False)
    out.print("\ntry it:", style="bold")
    out.print(
        f"curl -s {stage.url}/v1/chat/completions -H 'Authorization: Bearer {stage.token}' "
        f"-H 'Content-Type: application/json' -d '{body}'",
        soft_wrap=True, markup=False,
    )  # fmt: skip
    note("Ctrl-C ends all of it")


def _program() -> str:
    """Return how this program is called from the shell that reads what it prints."""
    beside = Path(sys.executable).with_name("oncegate")
    return "oncegate" if shutil.which("oncegate") or not beside.exists() else str(beside)


def _check_free(*ports: int) -> None:
    for port in ports:
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            raise Failure(USAGE, f"port {port} is taken; end what listens there, or choose another: `--port`") from None


def _place(folder: Path | None) -> Path:
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="oncegate-demo-"))
    if folder.exists() and any(folder.iterdir()):
        raise Failure(USAGE, f"`{folder}`: expected a folder that is new or empty")
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()
