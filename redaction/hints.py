"""What a key says about its value: `password`, `first_name`. Only where the value can be what the key says."""

from __future__ import annotations

import re
from typing import Final

from redaction.placeholder import CANDIDATE, canonical_token

_SECRET_KEYS: Final = frozenset({
    "password", "passwd", "passphrase", "pwd", "secret", "client_secret", "api_key", "apikey", "access_key",
    "secret_key", "secret_access_key", "private_key", "access_token", "refresh_token", "auth_token", "id_token",
    "authorization", "credentials", "session_token", "cvv", "cvc", "cvv2", "security_code", "otp", "one_time_password",
    "new_password", "old_password", "current_password", "db_password", "signing_key", "encryption_key",
    "webhook_secret",
})  # fmt: skip
_NAME_KEYS: Final = frozenset({
    "first_name", "firstname", "last_name", "lastname", "surname", "given_name", "givenname", "family_name",
    "familyname", "full_name", "fullname", "middle_name", "maiden_name", "first", "last", "customer_name",
    "cardholder", "cardholder_name", "account_holder", "patient_name", "employee_name", "contact_name",
    "card_holder", "beneficiary_name", "recipient_name", "legal_name", "vorname", "nachname", "prenom", "apellido",
    "apellidos", "cognome",
})  # fmt: skip
_PHONE_KEYS: Final = frozenset({
    "phone", "phone_number", "phonenumber", "mobile", "mobile_number", "mobile_phone", "telephone", "tel", "cell",
    "cell_phone", "fax", "fax_number", "home_phone", "work_phone", "contact_number", "whatsapp", "telefon", "telefono",
    "msisdn",
})  # fmt: skip
_NATIONAL_KEYS: Final = frozenset({
    "national_id", "national_id_number", "identity_number", "id_card", "id_card_number", "passport", "passport_number",
    "passport_no", "tax_id", "tin", "taxpayer_id", "nino", "national_insurance_number", "nhs_number", "steuer_id",
    "steueridentifikationsnummer", "nir", "dni", "nie", "codice_fiscale", "bsn", "pesel", "aadhaar", "aadhaar_number",
    "pan_number", "cpf", "tfn", "nric", "sin_number", "driver_license", "drivers_license", "driving_licence",
    "license_number", "social_insurance_number", "medicare_number", "curp", "personnummer",
})  # fmt: skip
_SSN_KEYS: Final = frozenset({"ssn", "social_security_number", "social_security", "social_security_no"})
_BIRTH_KEYS: Final = frozenset({
    "dob", "birth_date", "birthdate", "date_of_birth", "birthday", "born", "geburtsdatum", "date_naissance",
})  # fmt: skip
_ADDRESS_KEYS: Final = frozenset({
    "street", "street_address", "address_line1", "address_line_1", "address1", "home_address", "postal_address",
    "billing_address", "shipping_address", "mailing_address", "residential_address", "line1",
})  # fmt: skip
_CARD_KEYS: Final = frozenset({"card_number", "cardnumber", "credit_card", "credit_card_number", "pan", "cc_number"})
_BY_FORM: Final = (
    (_PHONE_KEYS, "PHONE", re.compile(r"\+?[\d ().\-/]{7,24}")),
    (_SSN_KEYS, "SSN", re.compile(r"\d{3}[ \-]?\d{2}[ \-]?\d{4}")),
    (_NATIONAL_KEYS, "NATIONALID", re.compile(r"(?=[^\d]{0,12}\d)[A-Za-z\d][A-Za-z\d .\-/]{4,22}")),
    (_BIRTH_KEYS, "DOB", re.compile(r"(?=[^\d]{0,12}\d)[A-Za-zÀ-ÿ\d .,\-/]{6,20}(?:T[\d:.Z+\-]{0,20})?")),
    (_ADDRESS_KEYS, "ADDRESS", re.compile(r"(?=.{0,80}[^\W\d])[^\n{}\[\]]{5,200}")),
    (_CARD_KEYS, "CARD", re.compile(r"\d(?:[ \-]?\d){11,18}")),
)
#: Words that order things as often as they name people.
_ORDER_KEYS: Final = frozenset({"first", "last"})
_NAME: Final = re.compile(r"[^\W\d_][^\W_]*(?:[ '.\-’][^\W\d_]*){0,5}")
_WORDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[\s\-]+")
_SECRET_CHARACTERS_MIN: Final = 4
_CODE_CHARACTERS_MIN: Final = 3
_CODES: Final = frozenset({"cvv", "cvc", "cvv2", "security_code"})
_KEY_CHARACTERS_MAX: Final = 32
_NAME_CHARACTERS_MAX: Final = 60


def hinted(key: str, value: str) -> str | None:
    """Return the entity that the whole `value` is by its `key`, or `None`."""
    name = _normal(key)
    if name in _SECRET_KEYS:
        ours = CANDIDATE.fullmatch(value)
        stands_for_one = ours is not None and canonical_token(ours) is not None
        least = _CODE_CHARACTERS_MIN if name in _CODES else _SECRET_CHARACTERS_MIN
        return "SECRET" if len(value) >= least and not stands_for_one else None
    if not name or CANDIDATE.search(value) is not None:
        return None
    if name in _NAME_KEYS and len(value) <= _NAME_CHARACTERS_MAX:
        if name in _ORDER_KEYS and not value[:1].isupper():
            return None
        return "PERSON" if _NAME.fullmatch(value) else None
    return next((entity for keys, entity, form in _BY_FORM if name in keys and form.fullmatch(value)), None)


def number_digits_min(key: str) -> int | None:
    """Return from how many digits on a number under `key` is looked at, `None` where the key says nothing."""
    name = _normal(key)
    if name in _CODES:
        return _CODE_CHARACTERS_MIN
    if name in _SECRET_KEYS:
        return _SECRET_CHARACTERS_MIN
    return _NUMBER_DIGITS_MIN if any(name in keys for keys, _, _ in _BY_FORM) else None


_NUMBER_DIGITS_MIN: Final = 6


def _normal(key: str) -> str:
    if not key or len(key) > _KEY_CHARACTERS_MAX:
        return ""
    return _WORDS.sub("_", key).lower()
