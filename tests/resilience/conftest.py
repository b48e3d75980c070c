"""What stands behind the gateways of these tests, as behind those of calls in doubt."""

from __future__ import annotations

from tests.doubt.conftest import bank, upstream

__all__ = ("bank", "upstream")
