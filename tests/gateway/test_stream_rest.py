"""What stands around a stream's texts is looked at once as long as it stays the same, and again when it does not."""

from __future__ import annotations

import pytest

from gateway import body
from gateway.detection import Detection
from gateway.inward import Inward
from gateway.outward import Redaction, Veil
from gateway.protocols.openai_chat_answer import ChatReader
from gateway.sse import event
from redaction.finding import Scope
from redaction.profile import Profile, Rule
from tests.redaction.detectors import PatternDetector

pytestmark = pytest.mark.anyio

MAIL = "ada@example.org"
PROFILE = Profile(name="all", inspects=True, default=Rule("placeholder", 0.5))


def chunk(text: str, note: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return event(body.encode({"id": "c", "note": note, "choices": [choice]}))


@pytest.mark.requirement("GW-13")
async def test_a_find_around_the_text_is_replaced_in_whichever_unit_it_comes_and_every_time() -> None:
    redaction = Redaction(Detection.in_process(PatternDetector(), "v1"), {"all": PROFILE}, "all")
    reader = ChatReader()
    inward = Inward(reader, redaction, Veil(profile=PROFILE, scope=Scope(id="run/r", key=b"k" * 32), domain="default"))
    reader.begin(200, ((b"content-type", b"text/event-stream"),))
    notes = ["nothing in it", "nothing in it", f"mail {MAIL} now", f"mail {MAIL} now", "nothing in it"]
    stream = [*(chunk("word ", note) for note in notes), chunk("", "", "stop"), event(b"[DONE]")]
    clean = [one for piece in stream for one in await inward.take(reader.feed(piece))]
    written = b"".join(one.raw for one in clean).decode()
    assert MAIL not in written
    assert written.count('"note":"nothing in it"') == written.count('"note":"mail ') + 1 == 3
    assert sum(inward.counts.values()) == 2
