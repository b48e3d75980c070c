"""What a key says about its value: `password`, `first_name`. Only where the value can be what the key says."""

from __future__ import annotations

import re
from typing import Final

from redaction.placeholder import CANDIDATE, canonical_token

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
#: Words that order things as often as they name people.
_ORDER_KEYS: Final = frozenset({"first", "last"})
_NAME: Final = re.compile(r"[^\W\d_][^\W_]*(?:[ '.\-’][^\W\d_]*){0,5}")
_WORDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[\s\-]+")
_SECRET_CHARACTERS_MIN: Final = 4
_KEY_CHARACTERS_MAX: Final = 32
_NAME_CHARACTERS_MAX: Final = 60


def hinted(key: str, value: str) -> str | None:
    """Return the entity that the whole `value` is by its `key`, or `None`."""
    name = _normal(key)
    if name in _SECRET_KEYS:
        ours = CANDIDATE.fullmatch(value)
        stands_for_one = ours is not None and canonical_token(ours) is not None
        return "SECRET" if len(value) >= _SECRET_CHARACTERS_MIN and not stands_for_one else None
    if name in _NAME_KEYS and len(value) <= _NAME_CHARACTERS_MAX and CANDIDATE.search(value) is None:
        if name in _ORDER_KEYS and not value[:1].isupper():
            return None
        return "PERSON" if _NAME.fullmatch(value) else None
    return None


def is_secret_key(key: str) -> bool:
    """Return whether `key` names a secret."""
    return _normal(key) in _SECRET_KEYS


def _normal(key: str) -> str:
    if not key or len(key) > _KEY_CHARACTERS_MAX:
        return ""
    return _WORDS.sub("_", key).lower()
