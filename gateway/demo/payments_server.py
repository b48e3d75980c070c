"""The demo's payments MCP server, on the official SDK. Its ledger is a file: the effect that others can count."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from mcp.server import MCPServer
from mcp_types import ToolAnnotations

from gateway.demo.serving import RequireBearer, serve

if TYPE_CHECKING:
    from starlette.applications import Starlette

    Entry = dict[str, object]

#: Well-known test numbers of card schemes; nobody's cards.
INVOICES: Final[dict[str, dict[str, object]]] = {
    "INV-7": {"customer": "Ada Lovelace", "email": "ada@example.com", "card": "4111 1111 1111 1111", "amount": 249.5},
    "INV-8": {"customer": "Grace Hopper", "email": "grace@example.com", "card": "5555 5555 5555 4444", "amount": 120.0},
    "INV-10": {
        "customer": "Edsger Dijkstra",
        "email": "edsger@example.com",
        "card": "3782 822463 10005",
        "amount": 75.0,
    },
    "INV-9": {"customer": "Alan Turing", "email": "alan@example.com", "card": "4012 8888 8888 1881", "amount": 4200.0},
}
_CURRENCY: Final = "EUR"
#: How long a held answer is held at most.
_HOLD_SECONDS_MAX: Final = 60.0
_HOLD_LOOK_SECONDS: Final = 0.02
_CARD_DIGITS: Final = range(12, 20)


class Ledger:
    """Effects, appended to a file as JSON lines; other processes read it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def entries(self) -> list[Entry]:
        """Return all effects so far."""
        if not self._path.exists():
            return []
        return [cast("Entry", json.loads(line)) for line in self._path.read_text(encoding="utf-8").splitlines()]

    def append(self, kind: str, **details: object) -> str:
        """Write one effect; returns its reference."""
        reference = f"{kind}-{len(self.entries()) + 1:04}"
        line = json.dumps({"reference": reference, "kind": kind, "time": time.time(), **details}) + "\n"
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)
        return reference


def payments(ledger: Ledger, hold: Path) -> MCPServer[object]:
    """Return the server. While the file `hold` exists, effects happen but are not answered."""
    server: MCPServer[object] = MCPServer(
        "demo-payments", instructions="The demo's payments: look up invoices, charge cards.", version="1"
    )

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def find_invoice(number: str) -> dict[str, object]:
        """Look up an invoice by its number, such as INV-7: customer, card, amount."""
        found = INVOICES.get(number)
        if found is None:
            raise ValueError(f"there is no invoice {number}")
        return {"number": number, "currency": _CURRENCY, **found}

    @server.tool()
    async def charge_card(customer: str, card: str, amount: float, currency: str) -> dict[str, object]:
        """Charge a card. Money moves; calling it twice charges twice."""
        _check_card(card)
        reference = ledger.append("charge", customer=customer, card=card, amount=amount, currency=currency)
        await _released(hold)
        return {"charge": reference, "amount": amount, "currency": currency}

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def list_charges() -> list[dict[str, object]]:
        """List all charges."""
        charges = [entry for entry in ledger.entries() if entry["kind"] == "charge"]
        return [{key: entry[key] for key in ("reference", "amount", "currency")} for entry in charges]

    @server.tool()
    async def refund(reference: str) -> dict[str, object]:
        """Give a charge back. Money moves."""
        if reference not in {entry["reference"] for entry in ledger.entries()}:
            raise ValueError("there is no such charge")
        given = ledger.append("refund", charge=reference)
        await _released(hold)
        return {"refund": given}

    @server.tool(annotations=ToolAnnotations(destructive_hint=True))
    def delete_customer(customer: str) -> dict[str, object]:
        """Delete a customer with all that is known of them."""
        return {"deleted": ledger.append("deletion", customer=customer)}

    del find_invoice, charge_card, list_charges, refund, delete_customer
    return server


def application(ledger: Ledger, hold: Path) -> Starlette:
    """Return the server's app, its MCP endpoint at `/mcp`."""
    return payments(ledger, hold).streamable_http_app()


def _check_card(card: str) -> None:
    digits = [int(character) for character in card if character.isdigit()]
    doubled = [digit if at % 2 == 0 else digit * 2 - 9 * (digit > 4) for at, digit in enumerate(reversed(digits))]  # noqa: PLR2004 - Luhn
    if len(digits) not in _CARD_DIGITS or sum(doubled) % 10:
        raise ValueError("declined: that is no card number")


async def _released(hold: Path) -> None:
    for _ in range(int(_HOLD_SECONDS_MAX / _HOLD_LOOK_SECONDS)):
        if not await asyncio.to_thread(hold.exists):
            return
        await asyncio.sleep(_HOLD_LOOK_SECONDS)


def main() -> None:
    """Run the demo's payments server."""
    parser = argparse.ArgumentParser(description="The demo's payments MCP server (Streamable HTTP at /mcp).")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ledger", type=Path, required=True, help="effects are appended here")
    parser.add_argument("--hold", type=Path, required=True, help="while this file exists effects are not answered")
    parser.add_argument("--key-file", type=Path, required=True, help="the one bearer token it accepts")
    options = parser.parse_args()
    key = cast("Path", options.key_file).read_text(encoding="utf-8").strip()
    app = application(Ledger(cast("Path", options.ledger)), cast("Path", options.hold))
    serve(RequireBearer(app, key), cast("int", options.port))


if __name__ == "__main__":
    main()
