"""Strings that agents send all day and that name nobody: as many as wanted, of every kind."""

from __future__ import annotations

import base64
import json
import string
import uuid
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

_HEX: Final = "0123456789abcdef"
_WORDS: Final = ("order", "shipment", "ticket", "invoice", "report", "build", "deploy", "index", "batch", "record")
_NAMES: Final = ("total", "count", "items", "status", "limit", "offset", "retry", "page", "cursor", "kind")


def _hex(of: random.Random, count: int) -> str:
    return "".join(of.choices(_HEX, k=count))


def _code(of: random.Random) -> str:
    a, b = of.choice(_NAMES), of.choice(_NAMES)
    return of.choice([
        f"def {a}_{b}(self, {a}: int) -> int:", f"const {a} = await {b}.map((x) => x.{a});", f"return self.{a}.{b}[{of.randrange(99)}]",
        f"for i in range({of.randrange(1000)}): {a} += i", f"if {a} >= {of.randrange(9999)} and {b}:", f"import {a}.{b} as {b}",
        f"assert {a} == {of.random():.6f}", f"{a}.{b}({of.randrange(100)}, {of.randrange(100)})",
    ])  # fmt: skip


def _log(of: random.Random) -> str:
    return (f"2026-{of.randrange(1, 13):02d}-{of.randrange(1, 29):02d} {of.randrange(24):02d}:{of.randrange(60):02d}:00,{of.randrange(1000):03d} "
            f"{of.choice(['INFO', 'WARN', 'DEBUG'])} {of.choice(_WORDS)} {of.randrange(10**6)} took {of.randrange(9000)} ms")  # fmt: skip


def _tool_json(of: random.Random) -> str:
    return json.dumps(
        {
            of.choice(_NAMES): of.randrange(10**5),
            of.choice(_NAMES): of.random(),
            "id": str(uuid.UUID(int=of.getrandbits(128))),
        }
    )


KINDS: Final[dict[str, Callable[[random.Random], str]]] = {
    "uuid": lambda of: str(uuid.UUID(int=of.getrandbits(128), version=4)),
    "sha1": lambda of: _hex(of, 40), "sha256": lambda of: _hex(of, 64), "short sha": lambda of: f"commit {_hex(of, 8)}",
    "md5": lambda of: f"etag {_hex(of, 32)}", "trace": lambda of: f"00-{_hex(of, 32)}-{_hex(of, 16)}-01",
    "epoch": lambda of: str(of.randrange(1_600_000_000, 1_900_000_000)),
    "epoch in ms": lambda of: f"ts={of.randrange(1_600_000_000_000, 1_900_000_000_000)}",
    "order": lambda of: f"order {of.randrange(10**6, 10**10)}", "invoice": lambda of: f"INV-{of.randrange(2020, 2027)}-{of.randrange(10**5):05d}",
    "ticket": lambda of: f"{of.choice(['PROJ', 'OPS', 'API'])}-{of.randrange(9999)}", "sku": lambda of: f"SKU-{of.randrange(10**6):06d}-{of.choice('ABC')}",
    "price": lambda of: f"{of.choice(['EUR', 'USD', '$', '£'])} {of.randrange(10**5)}.{of.randrange(100):02d}",
    "prices": lambda of: ", ".join(f"{of.randrange(1000)}.{of.randrange(100):02d}" for _ in range(6)),
    "version": lambda of: f"v{of.randrange(20)}.{of.randrange(40)}.{of.randrange(99)}",
    "build version": lambda of: f"version {of.randrange(20)}.{of.randrange(40)}.{of.randrange(99)}.{of.randrange(9999)}",
    "floats": lambda of: str([round(of.random(), 6) for _ in range(8)]), "ints": lambda of: str([of.randrange(10000) for _ in range(12)]),
    "date": lambda of: f"20{of.randrange(10, 30)}-{of.randrange(1, 13):02d}-{of.randrange(1, 29):02d}",
    "time": lambda of: f"2026-{of.randrange(1, 13):02d}-11T{of.randrange(24):02d}:{of.randrange(60):02d}:{of.randrange(60):02d}.{of.randrange(1000):03d}Z",
    "code": _code, "log": _log, "json": _tool_json,
    "path": lambda of: f"/srv/{of.choice(_WORDS)}/{of.choice(_NAMES)}_{of.randrange(999)}.{of.choice(['py', 'ts', 'csv'])}",
    "url": lambda of: f"https://api.example.com/v1/{of.choice(_WORDS)}s/{of.randrange(10**6)}?{of.choice(_NAMES)}={of.randrange(99)}",
    "sql": lambda of: f"select {of.choice(_NAMES)} from {of.choice(_WORDS)}s where id = {of.randrange(10**8)}",
    "image": lambda of: "data:image/png;base64,iVBORw0KGgo" + base64.b64encode(of.randbytes(120)).decode(),
    "base64": lambda of: base64.b64encode(of.randbytes(60)).decode(),
    "call id": lambda of: "call_" + "".join(of.choices(string.ascii_letters + string.digits, k=24)),
    "dimensions": lambda of: f"{of.randrange(4000)}x{of.randrange(4000)} px", "percent": lambda of: f"{of.random() * 100:.2f}%",
    "phone-like": lambda of: f"{of.randrange(10**9, 10**10)}", "article": lambda of: f"EAN {of.randrange(10**12, 10**13)}",
    "coordinates": lambda of: f"{of.uniform(-90, 90):.6f}, {of.uniform(-180, 180):.6f}",
    "prose": lambda of: f"The {of.choice(_WORDS)} has {of.randrange(900)} {of.choice(_NAMES)} and will be done by {of.randrange(1, 12)} pm.",
    "csv": lambda of: ",".join(str(of.randrange(10 ** of.randrange(1, 9))) for _ in range(8)),
    "arn": lambda of: f"arn:aws:s3:::{of.choice(_WORDS)}-{_hex(of, 6)}", "css": lambda of: f"#{_hex(of, 6)}; margin: {of.randrange(40)}px",
    "status": lambda of: f"HTTP/1.1 {of.choice([200, 201, 404, 500])} {of.choice(['OK', 'Created'])}",
    "tokens": lambda of: f"prompt_tokens: {of.randrange(9999)}, completion_tokens: {of.randrange(9999)}",
}  # fmt: skip


def string_at(place: int, of: random.Random) -> tuple[str, str]:
    """Return (kind, string), kinds by turns."""
    kind = list(KINDS)[place % len(KINDS)]
    return kind, KINDS[kind](of)
