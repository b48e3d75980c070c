"""Values written as a red team writes them: hidden from a pattern, plain to a model."""

from __future__ import annotations

import base64
import html
import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from gateway import header_values
from gateway.mcp.shape import REQUEST_SHAPE
from gateway.protocols.mcp_answer import ANSWER_SHAPE
from redaction.view import view_of
from redaction.walk import texts_in
from tests.redaction.test_engine import redact

if TYPE_CHECKING:
    from collections.abc import Callable

MAIL, CARD, IBAN = "ada.lovelace@example.com", "4111111111111111", "GB82WEST12345698765432"


def escaped(text: str, times: int) -> str:
    for _ in range(times):
        text = "".join(f"\\u{ord(one):04x}" for one in text) if "\\" not in text else text.replace("\\", "\\\\")
    return text


#: how it is written, and of which of the values that makes sense
WRITTEN: dict[str, tuple[Callable[[str], str], tuple[str, ...]]] = {
    "escaped as JSON": (lambda one: escaped(one, 1), (MAIL, CARD, IBAN)),
    "escaped as JSON in JSON": (lambda one: escaped(one, 2), (MAIL, CARD, IBAN)),
    "escaped three times": (lambda one: escaped(one, 3), (MAIL, CARD, IBAN)),
    "one sign escaped twice": (lambda one: one.replace("@", "\\\\u0040").replace("1", "\\\\u0031", 2), (MAIL, CARD)),
    "escaped as in programs": (lambda one: one.replace("@", "\\x40").replace("1", "\\x31", 1), (MAIL, CARD, IBAN)),
    "HTML, decimal": (lambda one: "".join(f"&#{ord(sign)};" for sign in one), (MAIL, CARD, IBAN)),
    "HTML, leading zeros": (lambda one: "".join(f"&#0{ord(sign)};" for sign in one), (MAIL, CARD, IBAN)),
    "HTML, hexadecimal": (lambda one: "".join(f"&#X{ord(sign):x};" for sign in one), (MAIL, CARD, IBAN)),
    "HTML without ends": (lambda one: one.replace("@", "&#64").replace(".", "&#46"), (MAIL,)),
    "HTML by name": (lambda one: one.replace("@", "&commat;").replace(".", "&period;"), (MAIL,)),
    "HTML twice": (lambda one: html.escape("".join(f"&#{ord(sign)};" for sign in one)), (MAIL, CARD, IBAN)),
    "URL three times": (lambda one: quote(quote(quote(one.replace("1", "%31"))), safe=""), (MAIL, CARD, IBAN)),
    "tags": (lambda one: "".join(chr(0xE0000 + ord(sign)) for sign in one), (MAIL, CARD, IBAN)),
    "a tag between": ("\U000e0061".join, (MAIL, CARD, IBAN)),
    "a mark over each": ("\u0301".join, (MAIL, CARD, IBAN)),
    "marks over each": ("\u0301\u0323".join, (MAIL, CARD, IBAN)),
    "a NUL between": ("\0".join, (MAIL, CARD, IBAN)),
    "a bell between": ("\a".join, (MAIL, CARD, IBAN)),
    "a C1 control between": ("\x80\x9f".join, (MAIL, CARD, IBAN)),
    "a joiner between": ("\u2060".join, (MAIL, CARD, IBAN)),
    "a filler between": ("\u3164".join, (MAIL, CARD, IBAN)),
    "Markdown": (lambda one: one.replace("@", "\\@").replace(".", "\\."), (MAIL,)),
    "JSON in JSON in JSON": (lambda one: json.dumps({"a": json.dumps({"b": json.dumps([one])})}), (MAIL, CARD, IBAN)),
    "circled": (lambda one: "".join(chr(0x24D0 + ord(s) - 97) if s.islower() else s for s in one), (MAIL,)),
    "within a very long token": (lambda one: f"{'/' * 3000}{one}{'/' * 3000}", (MAIL, CARD, IBAN)),
    "within very many digits": (lambda one: f"{'9 ' * 2000}, {one}, {' 9' * 2000}", (MAIL, CARD, IBAN)),
}


@pytest.mark.requirement("RED-16")
@pytest.mark.parametrize(("way", "value"), [(way, value) for way, (_, values) in WRITTEN.items() for value in values])
def test_a_value_is_found_however_it_is_hidden(way: str, value: str) -> None:
    written = WRITTEN[way][0](value)
    after = redact([f"it is {written} as said"])
    assert after.counts
    assert written not in str(after.tree)
    left = view_of(str(after.tree)).text
    assert value not in left
    assert not [part for part in (value[4:12], value[-8:]) if part in left]


@pytest.mark.requirement("RED-16")
def test_marks_hidden_signs_and_flags_stay_where_nothing_is_found() -> None:
    for text in (
        "Jose\u0301 said ok", "a flag \U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "C:\\.config\\_x and \\d+\\.\\d+", "a &amp; b &commat; c", "AT&T; x&y", "\0\x01", "नमस्ते कैसे हैं",
    ):  # fmt: skip
        assert redact([text]).tree == [text]


@pytest.mark.requirement("RED-12")
@pytest.mark.timeout(20)
@pytest.mark.parametrize("sign", ["\u0301", "\\", "&#", "&amp;#", "%25", "\U000e0061", "\0", "a\u0301", "\\u00", "&#0"])
def test_the_view_of_any_signs_takes_linear_time(sign: str) -> None:
    view_of(sign * (65_536 // len(sign)))


#: A message of MCP with a value in each text that used to pass as structure; `None`: from the agent.
FORM = {"type": "object", "title": MAIL, "properties": {
    "who": {"type": "string", "title": MAIL, "description": MAIL, "default": MAIL, "enum": [MAIL], "enumNames": [MAIL],
            "oneOf": [{"const": MAIL, "title": MAIL}]}}}  # fmt: skip
FROM_SERVER: list[object] = [
    {"method": "elicitation/create", "params": {"requestedSchema": FORM}},
    {"result": {"inputRequests": {"one": {"method": "elicitation/create", "params": {"requestedSchema": FORM}}}}},
    {"result": {"tools": [{"name": "t", "annotations": {"title": MAIL}, "icons": [{"src": f"https://x/?e={MAIL}"}]}]}},
    {"result": {"serverInfo": {"name": "s", "title": MAIL}, "capabilities": {"experimental": {"x": {"note": MAIL}}}}},
    {"result": {"content": [{"type": "text", "mimeType": MAIL, "annotations": {"note": MAIL}}]}},
    {"result": {"contents": [{"uri": "file:///x", "blob": base64.b64encode(f"to {MAIL}".encode()).decode()}]}},
    {"method": "notifications/message", "params": {"level": MAIL, "logger": MAIL}},
]
FROM_AGENT: list[object] = [
    {"params": {"clientInfo": {"name": "c", "title": MAIL}, "capabilities": {"experimental": {"x": {"note": MAIL}}}}},
    {"params": {"level": MAIL}}, {"params": {"ref": {"type": "ref/prompt", "name": MAIL}}},
    {"result": {"model": MAIL, "stopReason": MAIL, "content": {"type": "text", "text": MAIL}}},
]  # fmt: skip


@pytest.mark.requirement("RED-30")
@pytest.mark.parametrize("message", [*FROM_SERVER, *FROM_AGENT], ids=range(len(FROM_SERVER) + len(FROM_AGENT)))
def test_texts_that_look_like_structure_are_looked_at(message: object) -> None:
    shape = ANSWER_SHAPE if message in FROM_SERVER else REQUEST_SHAPE
    seen = [text.value for text in texts_in(message, shape) if MAIL in text.value]
    assert len(seen) == max(json.dumps(message).count(MAIL), 1)


@pytest.mark.requirement("RED-30")
def test_headers_that_hold_more_than_names_numbers_and_ids_do_not_pass() -> None:
    plain = (b"OpenAI/Python 1.2.3 (x)", b"req_011CSHoEeqs5C35K2UUqR7Fy", b"Wed, 21 Oct 2015 07:28:00 GMT", b"12.5",
             b"context-1m-2025-08-07,interleaved-thinking-2025-05-14", b"assistants=v2")  # fmt: skip
    assert all(map(header_values.passes, plain))
    assert not any(map(header_values.passes, (MAIL.encode(), CARD.encode(), b"4111-1111-1111-1111", "é".encode())))
