"""The hard rows every peer fails in some way (facts/redaction.md section 6), and strings that name nobody."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from redaction.forms import Forms

if TYPE_CHECKING:
    from redaction.presidio import PresidioDetector

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\nq2gWcFZ0\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"

ROWS: list[tuple[str, str, list[tuple[str, str]]]] = [
    ("1", "４１１１ １１１１ １１１１ １１１１", [("CARD", "４１１１ １１１１ １１１１ １１１１")]),
    ("2", "٤١١١١١١١١١١١١١١١", [("CARD", "٤١١١١١١١١١١١١١١١")]),
    ("3", "bob\u200b@exam\u200bple.com", [("EMAIL", "bob\u200b@exam\u200bple.com")]),
    ("4", "219\u00ad-09-9999", [("SSN", "219\u00ad-09-9999")]),
    ("5", "b\u043eb@ex\u0430mple.com", [("EMAIL", "b\u043eb@ex\u0430mple.com")]),
    ("6", "https://x.io/?e=bob%40example.com", [("EMAIL", "bob%40example.com")]),
    ("7", "eyJlbWFpbCI6ImJvYkBleGFtcGxlLmNvbSJ9", [("SECRET", "eyJlbWFpbCI6ImJvYkBleGFtcGxlLmNvbSJ9")]),
    ("6b", "?q=jonas%40m%C3%BCller.de&p=2", [("EMAIL", "jonas%40m%C3%BCller.de")]),
    ("6c", r'{"a": "jonas@m\u00fcller.de"}', [("EMAIL", r"jonas@m\u00fcller.de")]),
    ("in JSON", r'{"a": "x\nBSN 111222333\nend"}', [("NATIONALID", "111222333")]),
    ("8", "postgres://admin:S3cretPw!@db.int/app", [("SECRET", "S3cretPw!")]),
    ("9", "jörg@müller.de", [("EMAIL", "jörg@müller.de")]),
    ("10", "my name is rahul sharma", [("PERSON", "rahul sharma")]),
    ("11a", "I met Nguyễn Thị Minh Khai", [("PERSON", "Nguyễn Thị Minh Khai")]),
    ("11c", "Oluwaseun Adébáyò called", [("PERSON", "Oluwaseun Adébáyò")]),
    ("12", "Siobhán O'Connor-Byrne's invoice", [("PERSON", "Siobhán O'Connor-Byrne")]),
    ("13", "john.smith@acme-corp.com", [("EMAIL", "john.smith@acme-corp.com")]),
    ("14", "GB82 WEST 1234 5698 7654 32 today", [("IBAN", "GB82 WEST 1234 5698 7654 32")]),
    ("15", "2001:db8::8a2e:370:7334 ::ffff:10.1.2.3", [("IP", "2001:db8::8a2e:370:7334"), ("IP", "::ffff:10.1.2.3")]),
    ("16", "AKIAIOSFODNN7EXAMPLE secret wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
     [("SECRET", "AKIAIOSFODNN7EXAMPLE"), ("SECRET", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")]),
    ("17", f"token {JWT}", [("SECRET", JWT)]),
    ("18", PEM, [("SECRET", PEM)]),
    ("19a", "password=hunter2!!", [("SECRET", "hunter2!!")]),
    ("19b", '{"api_key":"9f8e7d6c5b4a"}', [("SECRET", "9f8e7d6c5b4a")]),
    ("20a", "742 Evergreen Terrace, Springfield, IL 62704",
     [("ADDRESS", "742 Evergreen Terrace, Springfield, IL 62704")]),
    ("20b", "Hauptstraße 12, 10115 Berlin", [("ADDRESS", "Hauptstraße 12, 10115 Berlin")]),
    ("25a", "DNI 12345678Z", [("NATIONALID", "12345678Z")]),
    ("25b", "Aadhaar 2345 6789 0124", [("NATIONALID", "2345 6789 0124")]),
    ("25c", "86 095 742 719", [("NATIONALID", "86 095 742 719")]),
    ("vin", "1HGCM82633A004352", [("VIN", "1HGCM82633A004352")]),
    ("dapr 1", "Card 4111-1111-1111-1111 then mail bob@example.com and SSN 488-23-3729",
     [("CARD", "4111-1111-1111-1111"), ("EMAIL", "bob@example.com"), ("SSN", "488-23-3729")]),
    ("dapr 2", "ISBN 978-3-16-148410-0 and email a@b.com and card 5500 0000 0000 0004 done",
     [("EMAIL", "a@b.com"), ("CARD", "5500 0000 0000 0004")]),
    ("dapr 3", "https://crm.example.com/u?email=bob@example.com&ssn=488-23-3729",
     [("EMAIL", "bob@example.com"), ("SSN", "488-23-3729")]),
    ("dapr 4", "My name is Anna Schmidt and I live in Berlin.", [("PERSON", "Anna Schmidt"), ("LOCATION", "Berlin")]),
    ("dapr 7", "AWS key AKIAIOSFODNN7EXAMPLE token sk-abc123def456ghi789",
     [("SECRET", "AKIAIOSFODNN7EXAMPLE"), ("SECRET", "sk-abc123def456ghi789")]),
    ("dapr 8", "Passport C01X00T47", [("NATIONALID", "C01X00T47")]),
    ("phone", "call me at +1 212-555-0123", [("PHONE", "+1 212-555-0123")]),
    ("openai", "use sk-proj-abcdefghijklmnopqrstuvwx1234", [("SECRET", "sk-proj-abcdefghijklmnopqrstuvwx1234")]),
    ("ours", "key og_billing_abcdefghijklmnopqrstuv", [("SECRET", "og_billing_abcdefghijklmnopqrstuv")]),
]  # fmt: skip

FORMS = Forms()
#: The lowest threshold of a shipped profile.
STRICT = 0.35

#: Rows 23 and 24, and what agents send all day.
NOBODY = [
    "550e8400-e29b-41d4-a716-446655440000", "da39a3ee5e6b4b0d3255bfef95601890afd80709", "1723456789",
    "order 1723456789", "[0.123456, 0.234567, 0.345678]", "4111111111111112", "numpy.linalg.norm", "README.md",
    "v1.2.3.4", "2026-11-21T07:00:00Z", "SELECT id FROM orders WHERE total > 100", "INV-7", "charge-0001",
    "EUR 120.00", "GET /v1/models HTTP/1.1", "call_1a1fceb45ca9d1720a4c8d75780", "gpt-5-mini", "12:30:45",
    '{"order_id": 48213377, "amount": 12999, "ts": 1732120000}',
    "In 2024 we shipped 15000 units of order 1234567", "PERSON_uihm5czgp2 pays with CARD_p3umsrnutb",
]  # fmt: skip


@pytest.mark.requirement("RED-01")
@pytest.mark.parametrize(("text", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_hard_rows_are_found_whole_and_nothing_else(
    detector: PresidioDetector, text: str, expected: list[tuple[str, str]]
) -> None:
    (found,) = detector.find([text])
    assert [(one.entity, text[one.start : one.end]) for one in found] == expected


@pytest.mark.requirement("RED-13")
@pytest.mark.parametrize("text", NOBODY)
def test_strings_that_name_nobody_are_left_alone(detector: PresidioDetector, text: str) -> None:
    (found,) = detector.find([text])
    assert [one for one in found if one.score >= STRICT] == []


@pytest.mark.requirement("RED-12")
@pytest.mark.parametrize(
    "unit",
    ["a", "1", "1 ", "1-", "a.", "1.1.", "a@", "a@a.", ":", "::", "ey", "eyA.", "key=", "password is ", "A1", "+1 (",
     "-", "-----BEGIN ", "://a:", "Aa1/", "St ", "1 Main ", "0x", "Rue de ", "born ",
     "1A", "%", "\\n", "1+", "AB12"],
)  # fmt: skip
def test_no_pattern_takes_more_than_linear_time(unit: str) -> None:
    def seconds(characters: int) -> float:
        text = (unit * characters)[:characters]
        begun = time.process_time()
        FORMS.find(text)
        return time.process_time() - begun

    small = max(seconds(4_000), 0.002)
    # sixteen times the text: linear is 16, quadratic 256; the bound leaves room for a busy machine
    assert seconds(64_000) < small * 100
