"""What becomes of planted values in messages: in requests, plain answers and streams, and in signed thinking."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import pytest

from gateway import body
from gateway.detection import Detection
from gateway.inward import Inward
from gateway.outward import Redaction, Veil
from gateway.protocols.anthropic_messages_answer import MessagesReader
from gateway.restoring import Originals, Restoring
from redaction.finding import Scope
from redaction.profile import Profile, Rule
from tests.emulator.anthropic import message, stream, text, thinking, tool_use
from tests.messages.stand import gateway_for, sdk
from tests.messages.test_adapter import read, request
from tests.redaction.detectors import PatternDetector

if TYPE_CHECKING:
    from pathlib import Path

    from durable.journal import Journal
    from tests.emulator.anthropic import AnthropicEmulator, Tree

pytestmark = pytest.mark.anyio

PROFILE = Profile(name="all", inspects=True, default=Rule("placeholder", 0.0))
VEIL = Veil(profile=PROFILE, scope=Scope(id="run/r", key=b"k" * 32), domain="default")
MAIL = "ada@example.com"


def engine() -> Redaction:
    return Redaction(Detection.in_process(PatternDetector(), "v1"), {"all": PROFILE}, "all")


async def answered(whole: Tree, *, piece: int | None, keeps: bool = False) -> tuple[Inward, bytes, bytes]:
    """Return the redacted answer as journaled, and as an agent gets it that may see all originals."""
    reader = MessagesReader(thinking="keep" if keeps else "fixed")
    media = b"application/json" if piece is None else b"text/event-stream"
    reader.begin(200, ((b"content-type", media),))
    sent = json.dumps(whole).encode() if piece is None else stream(whole, piece=piece)
    inward = Inward(reader, engine(), VEIL)
    clean = await inward.take([*reader.feed(sent), *reader.end()])
    originals = Originals(cast("Journal", None), VEIL.scope.id)
    originals.minted |= inward.minted
    restoring = Restoring(reader, frozenset(), originals)
    journaled = b"".join(one.raw for one in clean)
    given = b"".join([raw for one in clean for raw, _ in await restoring.take(one)])
    return inward, journaled, given


def said(frames: bytes) -> str:
    """Return the texts and arguments of frames, joined."""
    deltas = [cast("Tree", json.loads(line[6:])).get("delta") for line in frames.splitlines() if line[:5] == b"data:"]
    found = [cast("Tree", delta) for delta in deltas if isinstance(delta, dict)]
    return "".join(
        str(delta[name]) for delta in found for name in ("text", "partial_json", "thinking") if name in delta
    )


@pytest.mark.requirement("MSG-23")
async def test_planted_values_leave_a_request_in_no_place() -> None:
    planted = f"mail {MAIL} now"
    tree = request(
        system=planted,
        messages=[
            {"role": "user", "content": planted},
            {"role": "assistant", "content": [tool_use("pay", {"to": MAIL, "deep": [{"who": planted}]})]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_01", "content": [text(planted)]},
                {"type": "document", "title": planted, "source": {
                    "type": "text", "media_type": "text/plain", "data": planted}},
                {"type": "search_result", "source": "s", "title": planted, "content": [text(planted)]},
            ]},
        ],
        stop_sequences=[MAIL],
        output_config={"format": {"type": "json_schema", "schema": {"enum": [MAIL]}}},
    )  # fmt: skip
    call = read(tree)
    redacted = await engine().tree(call.tree, call.shape, VEIL)
    assert MAIL.encode() not in body.encode(redacted.tree)
    assert redacted.counts == {"EMAIL": 11}
    assert redacted.blocked == ()


@pytest.mark.requirement("MSG-23")
@pytest.mark.parametrize("piece", [None, 1, 4, 1000])
async def test_planted_values_in_an_answer_are_journaled_as_placeholders_and_given_back(piece: int | None) -> None:
    whole = message(text(f"write to {MAIL}, or"), tool_use("pay", {"to": MAIL, "ñ": "é"}))
    inward, journaled, given = await answered(whole, piece=piece)
    assert inward.blocked == ()
    assert MAIL.encode() not in journaled
    assert inward.counts == {"EMAIL": 2}
    if piece is None:
        assert json.loads(given) == whole
    else:
        assert said(given) == f"write to {MAIL}, or" + '{"to":"' + MAIL + '","ñ":"é"}'


@pytest.mark.requirement("MSG-09")
@pytest.mark.parametrize("piece", [None, 1, 1000])
async def test_signed_thinking_passes_byte_for_byte_or_the_call_is_blocked(piece: int | None) -> None:
    clean = message(thinking("so é let me\nthink. Again!"), text("ok"))
    inward, _, given = await answered(clean, piece=piece)
    assert inward.blocked == ()
    assert (json.loads(given) == clean) if piece is None else said(given) == "so é let me\nthink. Again!ok"
    inward, _, _ = await answered(message(thinking(f"about {MAIL}"), text("ok")), piece=piece)
    assert [entity for entity, _ in inward.blocked] == ["EMAIL"]


@pytest.mark.requirement("MSG-09")
@pytest.mark.parametrize("piece", [None, 1, 1000])
async def test_thinking_is_kept_where_the_configuration_says_so(piece: int | None) -> None:
    inward, journaled, _ = await answered(
        message(thinking(f"about {MAIL}"), text(f"to {MAIL}")), piece=piece, keeps=True
    )
    assert inward.blocked == ()
    assert inward.counts == {"EMAIL": 1}
    if piece != 1:
        assert journaled.count(MAIL.encode()) == 1


@pytest.mark.requirement("MSG-09")
async def test_a_signed_thinking_in_a_request_blocks_it_and_an_unsigned_one_is_redacted() -> None:
    signed = request(messages=[{"role": "assistant", "content": [thinking(f"about {MAIL}")]}])
    call = read(signed)
    redacted = await engine().tree(call.tree, call.shape, VEIL)
    assert redacted.blocked == (("EMAIL", "/messages/0/content/0/thinking"),)
    unsigned = request(messages=[{"role": "assistant", "content": [thinking(f"about {MAIL}", "")]}])
    call = read(unsigned)
    redacted = await engine().tree(call.tree, call.shape, VEIL)
    assert redacted.blocked == ()
    assert MAIL.encode() not in body.encode(redacted.tree)


@pytest.mark.requirement("MSG-23")
def test_planted_values_reach_neither_model_nor_disk_and_come_back(upstream: AnthropicEmulator, tmp_path: Path) -> None:
    gateway = gateway_for(tmp_path, upstream.url, inspects=True)
    gateway.start()
    try:
        seen: list[str] = []

        def says(asked: Tree) -> Tree:
            seen.append(str(asked["messages"]))
            return message(text(seen[-1]))

        upstream.says = says
        client = sdk(gateway)
        words = f"my address is {MAIL}, please"
        for streams in (False, True):
            with client.messages.stream(
                model="careful", max_tokens=9, messages=[{"role": "user", "content": f"{words} {streams}"}]
            ) as answer:
                assert words in answer.get_final_text()
        assert not any(MAIL in one for one in seen)
        for file in gateway.folder.iterdir():
            assert not file.is_file() or MAIL.encode() not in file.read_bytes()
    finally:
        gateway.stop()
