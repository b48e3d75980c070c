"""A stream that says a text five times says it five times alike, redacted and restored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import pytest

from gateway.detection import Detection
from gateway.inward import Inward
from gateway.outward import Redaction, Veil, vault_entries
from gateway.protocols.openai_responses_answer import ResponsesReader
from gateway.protocols.openai_responses_shape import request_shape
from gateway.restoring import Originals, Restoring
from gateway.sse import EventSplitter
from redaction.finding import Scope
from redaction.profile import Profile, Rule
from tests.emulator.openai import event, events_of, function_call, message, reasoning, refused, response
from tests.redaction.detectors import PatternDetector

if TYPE_CHECKING:
    from durable.journal import Journal
    from durable.step import VaultEntry

pytestmark = pytest.mark.anyio

Tree = dict[str, object]
MAIL = "ada@example.org"
TEXT = f"Write to {MAIL} today. She answers.\nOr to {MAIL}"
PROFILE = Profile(name="all", inspects=True, default=Rule("placeholder", 0.5))
SCOPE = Scope(id="run/r", key=b"k" * 32)
WHOLE = response(
    reasoning(f"the user is {MAIL}", "gAAAAB-ada@example.org-is-in-here=="),
    message(TEXT),
    refused(f"I cannot tell you {MAIL}"),
    function_call("mail", json.dumps({"to": MAIL, "text": TEXT})),
    instructions=f"be kind to {MAIL}",
)


class Vault:
    """What a journal's vault gives back."""

    def __init__(self) -> None:
        self.rows: dict[str, VaultEntry] = {}

    async def originals(self, scope: str, tokens: list[str]) -> dict[str, VaultEntry]:
        assert scope == SCOPE.id
        return {token: self.rows[token] for token in tokens if token in self.rows}


def events_in(raw: bytes) -> list[Tree]:
    return [cast("Tree", json.loads(one.data)) for one in EventSplitter().feed(raw) if one.data is not None]


def parts(item: Tree, name: str) -> list[Tree]:
    return cast("list[Tree]", item.get(name) or [])


def texts_of(raw: bytes) -> dict[str, set[str]]:
    """Return every way a stream says each of its texts: pieces joined, done, part, item, response."""
    said: dict[str, set[str]] = {"summary_text": set(), "output_text": set(), "refusal": set(), "arguments": set()}
    pieces: dict[str, str] = {}
    for tree in events_in(raw):
        kind = str(tree["type"])
        name = next((one for one in said if one in kind), "")
        if kind.endswith(".delta"):
            pieces[name] = pieces.get(name, "") + str(tree["delta"])
        for field in ("text", "refusal", "arguments"):
            if name and field in tree:
                said[name].add(str(tree[field]))
        items = [tree["item"]] if kind.endswith("item.done") else []
        if kind == "response.completed":
            items = cast("list[object]", cast("Tree", tree["response"])["output"])
        for item in cast("list[Tree]", items):
            for part in [*parts(item, "content"), *parts(item, "summary")]:
                said[str(part["type"])].add(str(part.get("text", part.get("refusal"))))
            if "arguments" in item:
                said["arguments"].add(str(item["arguments"]))
    for name, text in pieces.items():
        said[name].add(text)
    return said


def compact(said: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return texts with arguments written in one way: what was put back into them is written anew."""
    return said | {"arguments": {json.dumps(json.loads(text)) for text in said["arguments"]}}


async def redacted(raw: bytes, size: int) -> tuple[bytes, bytes, Inward]:
    """Return `raw` as it is journaled, and as an agent with every grant gets it."""
    redaction = Redaction(Detection.in_process(PatternDetector(), "v1"), {"all": PROFILE}, "all")
    reader = ResponsesReader({})
    inward = Inward(reader, redaction, Veil(profile=PROFILE, scope=SCOPE, domain="default"))
    vault = Vault()
    restoring = Restoring(reader, frozenset(), Originals(cast("Journal", vault), SCOPE.id))
    reader.begin(200, ((b"content-type", b"text/event-stream"),))
    units = [unit for at in range(0, len(raw), size) for unit in reader.feed(raw[at : at + size])]
    clean = await inward.take([*units, *reader.end()])
    vault.rows = {row.token: row for row in vault_entries(SCOPE, inward.minted.values())}
    journaled = b"".join(one.raw for one in clean)
    return journaled, b"".join([part for one in clean for part, _ in await restoring.take(one)]), inward


@pytest.mark.requirement("RESP-02")
@pytest.mark.parametrize("piece", [1, 5, 1000])
async def test_every_repetition_of_a_text_is_redacted_and_restored_alike(piece: int) -> None:
    raw = b"".join(events_of(WHOLE, piece=piece))
    journaled, restored, inward = await redacted(raw, 97)
    assert journaled.count(MAIL.encode()) == journaled.count(b"gAAAAB-") == raw.count(b"gAAAAB-")
    for name, ways in texts_of(journaled).items():
        assert len(ways) == 1, (name, ways)
    assert compact(texts_of(restored)) == compact(texts_of(raw))
    assert set(inward.counts) == {"EMAIL"}


@pytest.mark.requirement("RESP-02")
async def test_pieces_whose_end_is_never_said_are_closed_by_the_end() -> None:
    raw = b"".join([
        event("response.output_text.delta", 1, output_index=0, content_index=0, item_id="m", delta=f"{MAIL[:5]}"),
        event("response.output_text.delta", 2, output_index=0, content_index=0, item_id="m", delta=MAIL[5:]),
        event("response.completed", 3, response=response(message(MAIL))),
    ])  # fmt: skip
    journaled, restored, _ = await redacted(raw, len(raw))
    assert MAIL.encode() not in journaled
    assert len(texts_of(journaled)["output_text"]) == 1
    assert [tree["type"] for tree in events_in(restored)].count("response.completed") == 1


@pytest.mark.requirement("RESP-03")
async def test_encrypted_reasoning_and_pictures_pass_byte_for_byte() -> None:
    secret = "gAAAAB" + "x" * 60 + "_-4111111111111111=="
    picture: Tree = {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": "aGVsbG8=" * 4}
    raw = b"".join(events_of(response(reasoning("plain", secret), picture, {"id": "cmp_1", "type": "compaction",
                                      "encrypted_content": secret})))  # fmt: skip
    journaled, _, inward = await redacted(raw, len(raw))
    assert journaled.count(secret.encode()) == raw.count(secret.encode())
    assert journaled.count(b"aGVsbG8=" * 4) == raw.count(b"aGVsbG8=" * 4)
    assert inward.counts == {}
    answers = [tree for tree in events_in(journaled) if tree["type"] == "response.completed"]
    assert answers == [tree for tree in events_in(raw) if tree["type"] == "response.completed"]


@pytest.mark.requirement("RESP-03")
@pytest.mark.parametrize(
    ("item", "kept"),
    [
        ({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "E" + MAIL}, True),
        ({"content": [{"type": "input_image", "image_url": f"data:image/png;base64,{'aGVsbG8' * 9}"}]}, True),
        ({"content": [{"type": "input_image", "image_url": f"data:image/png;base64,{MAIL}"}]}, False),
        ({"role": "user", "content": [{"type": "input_file", "file_data": f"data:text/plain;base64,{MAIL}"}]}, False),
        ({"role": "user", "content": [{"type": "input_file", "file_data": f"data:image/png;base64,{MAIL}"}]}, False),
        ({"content": [{"type": "input_file", "file_data": f"data:image/png;base64,{'A' * 5000} {MAIL}"}]}, False),
        ({"role": "user", "content": [{"type": "input_image", "image_url": f"https://h/{MAIL}"}]}, False),
        ({"type": "function_call", "id": "fc_1", "call_id": MAIL, "name": "f", "arguments": "{}"}, False),
        ({"type": "function_call", "id": "fc_1", "call_id": "c_1", "name": "f", "arguments": json.dumps({"a": MAIL})},
         False),
        ({"type": "function_call_output", "call_id": "c_1", "output": MAIL}, False),
        ({"type": "program_output", "id": "po_1", "result": MAIL}, False),
        ({"type": "image_generation_call", "id": "ig_1", "result": MAIL}, False),
        ({"type": "image_generation_call", "id": "ig_1", "result": "aGVsbG8" * 9}, True),
    ],
)  # fmt: skip
async def test_of_a_request_only_what_is_opaque_passes_unread(item: Tree, kept: bool) -> None:  # noqa: FBT001 - a column
    redaction = Redaction(Detection.in_process(PatternDetector(), "v1"), {"all": PROFILE}, "all")
    tree: Tree = {"model": "m", "input": [item]}
    found = await redaction.tree(tree, request_shape(tree), Veil(profile=PROFILE, scope=SCOPE, domain="default"))
    assert found.changed is not kept
