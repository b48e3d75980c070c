"""An upstream of models and tools that cuts its connection at a stage, then serves as if nothing had happened."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from typing import Literal, cast

from tests.doubt.bank import TOOLS
from tests.gateway.model_upstream import completion
from tests.mcp.introduced import introduced

Stage = Literal[
    "accepted", "in the head", "in the body", "after the request", "in the answer's head", "in the answer's body",
    "before the last chunk", "after the answer",
]  # fmt: skip
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
_RESET = struct.pack("ii", 1, 0)


class Cutter:
    """A listener in threads. `stage` is where the next connection is cut, once; `keys` are those it was sent."""

    def __init__(self, port: int = 0) -> None:
        self.stage: Stage | None = None
        self.keys: list[str] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = cast("int", self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            if self._is("accepted"):
                return _reset(connection)
            while self._serve(connection):
                continue
        return None

    def _is(self, *stages: Stage) -> bool:
        """Return whether it is to be cut here; that is done once."""
        if self.stage not in stages:
            return False
        self.stage = None
        return True

    def _serve(self, connection: socket.socket) -> bool:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            part = connection.recv(1)
            if not part:
                return False
            head += part
            if len(head) > 20 and self._is("in the head"):
                _reset(connection)
                return False
        if self._is("in the body"):
            _reset(connection)
            return False
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        content = b""
        while len(content) < int(fields[b"content-length"]):
            content += connection.recv(65536)
        asked = json.loads(content)
        if (said := introduced(asked, *TOOLS)) is not None:
            listed = json.dumps(said).encode()
            connection.sendall(_HEAD + b"content-length: %d\r\n\r\n" % len(listed) + listed)
            return True
        if "method" in asked:
            self.keys.append(asked["params"]["_meta"].get("dev.oncegate/idempotency-key", ""))
        else:
            self.keys.append(fields.get(b"idempotency-key", b"").decode())
        return self._answer(connection, _answer_to(asked))

    def _answer(self, connection: socket.socket, answer: bytes) -> bool:
        stage, self.stage = self.stage, None
        head = _HEAD
        whole = head + b"content-length: %d\r\n\r\n" % len(answer) + answer
        match stage:
            case "after the request":
                return False
            case "in the answer's head":
                connection.sendall(whole[:30])
                return False
            case "in the answer's body":
                connection.sendall(whole[:-5])
                return False
            case "before the last chunk":
                connection.sendall(head + b"transfer-encoding: chunked\r\n\r\n%x\r\n" % len(answer) + answer + b"\r\n")
                return False
            case _:
                connection.sendall(whole)
                return stage != "after the answer"


def _answer_to(asked: dict[str, object]) -> bytes:
    if "method" not in asked:
        return json.dumps(completion("from the upstream")).encode()
    content = [{"type": "text", "text": "from the upstream"}]
    result = {"resultType": "complete", "content": content}
    return json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}).encode()


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    connection.close()
