"""What a key says about its value: `password`, `first_name`. Only where the value can be what the key says."""

from __future__ import annotations

import re
from typing import Final

from redaction.placeholder import CANDIDATE

_SECRET_KEYS: Final = frozenset({
    "password", "passwd", "passphrase", "pwd", "secret", "client_secret", "api_key", "apikey", "access_key",
    "secret_key", "secret_access_key", "private_key", "access_token", "refresh_token", "auth_token", "id_token",
    "authorization", "credentials", "session_token",
})  # fmt: skip
_NAME_KEYS: Final = frozenset({
    "first_name", "firstname", "last_name", "lastname", "surname", "given_name", "givenname", "family_name",
    "familyname", "full_name", "fullname", "middle_name", "maiden_name", "first", "last", "customer_name",
    "cardholder", "cardholder_name", "account_holder", "patient_name", "employee_name", "contact_name",
})  # fmt: skip
_NAME: Final = re.compile(r"[^\W\d_][^\W_]*(?:[ '.\-’][^\W\d_]*){0,5}")
_WORDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[\s\-]+")
_SECRET_CHARACTERS_MIN: Final = 4
_NAME_CHARACTERS_MAX: Final = 60


def hinted(key: str, value: str) -> str | None:
    """Return the entity that the whole `value` is by its `key`, or `None`."""
    if not key or len(key) > 32:  # noqa: PLR2004 - longer than any key above
        return None
    name = _WORDS.sub("_", key).lower()
    if name in _SECRET_KEYS:
        usable = len(value) >= _SECRET_CHARACTERS_MIN and CANDIDATE.fullmatch(value) is None
        return "SECRET" if usable else None
    if name in _NAME_KEYS and len(value) <= _NAME_CHARACTERS_MAX and CANDIDATE.search(value) is None:
        return "PERSON" if _NAME.fullmatch(value) else None
    return None
