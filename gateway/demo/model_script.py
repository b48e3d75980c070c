"""What the demo's model says: a script, not a model. The same conversation always gets the same answer.

Asked about an invoice with tools at hand it looks the invoice up, charges the card it finds there, and says so in
prose. Everything it says is made of what it was sent: placeholders, where the gateway did its work.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Message = Mapping[str, object]

_INVOICE: Final = re.compile(r"\bINV-[0-9]+\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What the model says next: a text, or a tool it wants called."""

    text: str = ""
    tool: str = ""
    arguments: Mapping[str, object] = field(default_factory=dict[str, object])


def next_turn(messages: Sequence[Message], tools: frozenset[str]) -> Turn:
    """Return the script's next turn in a conversation."""
    asked_at = max((at for at, one in enumerate(messages) if one.get("role") == "user"), default=-1)
    asked = _text(messages[asked_at]) if asked_at >= 0 else ""
    results = [_text(one) for one in messages[asked_at + 1 :] if one.get("role") == "tool"]
    invoice = _INVOICE.search(asked)
    if "who am i talking about" in asked.lower():
        return Turn(text=f"You are talking about {asked.partition(':')[2].strip()}")
    if invoice is None or "find_invoice" not in tools:
        return Turn(text=f"The demo's model read: {asked}")
    return _settle(invoice.group(), results)


def _settle(invoice: str, results: Sequence[str]) -> Turn:
    if not results:
        return Turn(tool="find_invoice", arguments={"number": invoice})
    found = _object(results[0])
    if "card" not in found:
        return Turn(text=f"I could not look up {invoice}: {results[0]}")
    if len(results) == 1:
        return Turn(
            tool="charge_card", arguments={key: found[key] for key in ("customer", "card", "amount", "currency")}
        )
    charged = _object(results[-1])
    if "charge" not in charged:
        return Turn(text=f"{invoice} is not paid: {results[-1]}")
    return Turn(
        text=f"{invoice} of {found['customer']} is paid: {found['amount']} {found['currency']} "
        f"were charged to card {found['card']}, reference {charged['charge']}."
    )


def _text(message: Message) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [cast("Message", part) for part in cast("list[object]", content) if isinstance(part, dict)]
    return "".join(str(part["text"]) for part in parts if "text" in part)


def _object(text: str) -> dict[str, object]:
    try:
        value: object = json.loads(text)
    except ValueError:
        return {}
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}
