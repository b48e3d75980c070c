"""What OpenAI's endpoints say, as the API reference and the installed SDK's types have it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from tests.emulator.faults import Answer, plain, streamed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.emulator.faults import Received

Tree = dict[str, object]
USAGE: Tree = {
    "input_tokens": 11, "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0}, "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 18,
}  # fmt: skip


def message(text: str = "hello", *, number: int = 1, **more: object) -> Tree:
    part: Tree = {"type": "output_text", "text": text, "annotations": [], "logprobs": [], **more}
    return {"id": f"msg_{number}", "type": "message", "status": "completed", "role": "assistant", "content": [part]}


def refused(text: str, *, number: int = 2) -> Tree:
    return message(number=number) | {"content": [{"type": "refusal", "refusal": text}]}


def function_call(name: str = "pay", arguments: str = '{"to":"x"}', *, number: int = 1) -> Tree:
    return {"id": f"fc_{number}", "type": "function_call", "status": "completed", "call_id": f"call_{number}",
            "name": name, "arguments": arguments}  # fmt: skip


def reasoning(summary: str, encrypted: str | None = None, *, number: int = 1) -> Tree:
    return {"id": f"rs_{number}", "type": "reasoning", "encrypted_content": encrypted,
            "summary": [{"type": "summary_text", "text": summary}]}  # fmt: skip


def response(*output: Tree, status: str = "completed", name: str = "resp_1", **more: object) -> Tree:
    items = list(output) if output else [message()]
    return {"id": name, "object": "response", "created_at": 1, "status": status, "error": None,
            "incomplete_details": None, "instructions": None, "metadata": {}, "model": "up", "output": items,
            "parallel_tool_calls": True, "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0,
            "usage": USAGE, "vendor_extra": {"kept": 1.50}, **more}  # fmt: skip


def event(kind: str, number: int, **fields: object) -> bytes:
    tree = {"type": kind, "sequence_number": number, **fields}
    return f"event: {kind}\ndata: {json.dumps(tree, ensure_ascii=False)}\n\n".encode()


def events_of(whole: Tree, *, piece: int = 3) -> list[bytes]:
    """Return the events of a streamed response as the vendor sends them, texts in pieces of `piece` characters."""
    begun: Tree = {**whole, "status": "in_progress", "output": [], "usage": None}
    said: list[tuple[str, Tree]] = [(f"response.{kind}", {"response": begun}) for kind in ("created", "in_progress")]
    for place, item in enumerate(cast("list[Tree]", whole["output"])):
        said += _item(place, item, piece)
    ended = {"incomplete": "incomplete", "failed": "failed"}.get(str(whole["status"]), "completed")
    said.append((f"response.{ended}", {"response": whole}))
    return [event(kind, number, **fields) for number, (kind, fields) in enumerate(said)]


def _item(place: int, item: Tree, piece: int) -> list[tuple[str, Tree]]:
    at: Tree = {"output_index": place, "item_id": item["id"]}
    begun = {**item, "status": "in_progress"}
    for name in ("content", "summary"):
        begun |= {name: []} if name in item else {}
    begun |= {"arguments": ""} if "arguments" in item else {}
    begun |= {"result": None} if item["type"] == "image_generation_call" else {}
    said: list[tuple[str, Tree]] = [("response.output_item.added", {"output_index": place, "item": begun})]
    for index, part in enumerate(cast("list[Tree]", item.get("content") or [])):
        field = "text" if part["type"] == "output_text" else "refusal"
        where = {**at, "content_index": index}
        more: Tree = {"logprobs": []} if field == "text" else {}
        said.append(("response.content_part.added", {**where, "part": {**part, field: ""}}))
        said += _pieces(f"response.{part['type']}", str(part[field]), {**where, **more}, field, piece)
        said.append(("response.content_part.done", {**where, "part": part}))
    for index, part in enumerate(cast("list[Tree]", item.get("summary") or [])):
        where = {**at, "summary_index": index}
        said.append(("response.reasoning_summary_part.added", {**where, "part": {**part, "text": ""}}))
        said += _pieces("response.reasoning_summary_text", str(part["text"]), where, "text", piece)
        said.append(("response.reasoning_summary_part.done", {**where, "part": part}))
    if "arguments" in item:
        said += _pieces("response.function_call_arguments", str(item["arguments"]), at, "arguments", piece)
    return [*said, ("response.output_item.done", {"output_index": place, "item": item})]


def _pieces(family: str, text: str, at: Tree, field: str, piece: int) -> Iterable[tuple[str, Tree]]:
    for begin in range(0, len(text), piece):
        yield f"{family}.delta", {**at, "delta": text[begin : begin + piece], "obfuscation": "Xa9"}
    yield f"{family}.done", {**at, field: text}


def embeddings(*vectors: object) -> Tree:
    data = [{"object": "embedding", "index": place, "embedding": vector} for place, vector in enumerate(vectors)]
    return {"object": "list", "data": data, "model": "up", "usage": {"prompt_tokens": 5, "total_tokens": 5}}


def error(message: str, *, code: str | None = None, kind: str = "server_error") -> Tree:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def answering(whole: Tree | Callable[[Tree], Tree]) -> Callable[[Received], Answer]:
    """Return a script that answers every response with `whole`, as a stream where one is asked for."""

    def script(received: Received) -> Answer:
        made = whole(received.tree) if callable(whole) else whole
        return streamed(b"".join(events_of(made))) if received.tree.get("stream") else plain(made)

    return script
