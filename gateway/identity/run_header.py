"""`Oncegate-Run` and `Oncegate-Attempt`: the run a caller names beside ordinary credentials."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from durable.step import RunRef
from gateway.identity.refused import CredentialRefused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RUN_HEADER: Final = b"oncegate-run"
ATTEMPT_HEADER: Final = b"oncegate-attempt"
_RUN_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_ATTEMPT: Final = re.compile(r"[1-9][0-9]{0,8}")


def usable_run_id(text: str) -> bool:
    """Return whether `text` may be a run id: 1 to 128 of A-Z a-z 0-9 . _ : -."""
    return _RUN_ID.fullmatch(text) is not None


def named_run(picked: Mapping[bytes, Sequence[bytes]]) -> RunRef | None:
    """Return the run that the headers, values by name, give; its attempt is 0 where they give none.

    Raises `CredentialRefused`.
    """
    run, attempt = _only(picked, RUN_HEADER), _only(picked, ATTEMPT_HEADER)
    if run is None and attempt is None:
        return None
    if run is None or not usable_run_id(run) or (attempt is not None and not _ATTEMPT.fullmatch(attempt)):
        raise CredentialRefused("run_header_unusable")
    return RunRef(run, 0 if attempt is None else int(attempt))


def _only(picked: Mapping[bytes, Sequence[bytes]], name: bytes) -> str | None:
    values = picked.get(name)
    if values is None:
        return None
    if any(value != values[0] for value in values):
        raise CredentialRefused("run_header_unusable")
    return values[0].decode("latin-1").strip()
