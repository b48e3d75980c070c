"""An upstream that streams prose as a model writes it, a few characters at a time. Prints its port.

The text differs from call to call: nothing of it was ever looked at. With milliseconds as its argument the pieces are
that far apart.
"""

from __future__ import annotations

import asyncio
import json
import sys
from itertools import count

from benchmarks.redaction import prose

#: About a token of a model.
PIECE_CHARACTERS = 4
TEXT_CHARACTERS = 360
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_TURNS = count()


def _chunk(delta: dict[str, object], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    tree = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "mock", "choices": [choice]}
    event = b"data: " + json.dumps(tree).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pause_seconds: float) -> None:
    while head := await reader.readuntil(b"\r\n\r\n"):
        length = next(
            int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        await reader.readexactly(length)
        text = prose(TEXT_CHARACTERS, f"talk/{next(_TURNS)}")
        writer.write(_HEAD)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for at in range(0, len(text), PIECE_CHARACTERS):
            writer.write(_chunk({"content": text[at : at + PIECE_CHARACTERS]}))
            # by the clock, so that a busy machine writes no slower
            due = begun + (at // PIECE_CHARACTERS + 1) * pause_seconds
            await asyncio.sleep(max(0.0, due - loop.time()))
        done = b"data: [DONE]\n\n"
        writer.write(_chunk({}, "stop") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(done), done))


async def main(pause_seconds: float) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer, pause_seconds)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)  # until whoever started it goes


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) / 1000 if len(sys.argv) > 1 else 0.0))
