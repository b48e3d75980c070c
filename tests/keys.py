"""API keys for gateways under test, as `oncegate token create` makes them but without a process for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.identity.api_keys import new_key
from gateway.identity.keys_edit import add_key

if TYPE_CHECKING:
    from pathlib import Path


def add(file: Path, agent: str, *, domain: str = "acme", admin: bool = False) -> str:
    """Add a key of an agent of `domain` to a keys file, made when absent; returns the key."""
    identifier, key, hashed = new_key()
    members = {"hash": hashed, "agent": agent, "domain": domain, "created": "2026-01-01T00:00:00Z"}
    add_key(file, frozenset({domain}), identifier, members | ({"listener": "admin"} if admin else {}))
    return key
