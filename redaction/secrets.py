"""Secrets in texts: keys of known vendors, tokens, key blocks, passwords beside the word that names them."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Final

from redaction.finding import Finding

#: Known forms; each is anchored by its vendor's prefix and bounded in length (no pattern backtracks).
_TOKENS: Final = re.compile(
    r"(?<![A-Za-z0-9_])(?:"
    r"(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}"
    r"|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}|glpat-[A-Za-z0-9_\-]{20,64}"
    r"|xox[abeoprs]-[A-Za-z0-9\-]{10,250}|xapp-[A-Za-z0-9\-]{10,250}"
    r"|sk-(?:proj-|svcacct-|ant-|or-v1-|admin-)?[A-Za-z0-9_\-]{16,250}"
    r"|(?:sk|rk|pk|whsec)_(?:live|test)?_?[A-Za-z0-9]{16,250}"
    r"|AIza[A-Za-z0-9_\-]{35}|ya29\.[A-Za-z0-9_\-]{20,500}|GOCSPX-[A-Za-z0-9_\-]{20,64}"
    r"|SG\.[A-Za-z0-9_\-]{16,64}\.[A-Za-z0-9_\-]{16,64}|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_\-]{16,500}"
    r"|hf_[A-Za-z0-9]{30,64}|dop_v1_[a-f0-9]{64}|shpat_[a-fA-F0-9]{32}|key-[a-f0-9]{32}|EAA[A-Za-z0-9]{40,300}"
    r"|og_[A-Za-z0-9]{4,64}_[A-Za-z0-9_\-]{16,128}|ogr_[A-Za-z0-9_\-]{8,400}\.[A-Za-z0-9_\-]{16,100}"
    r")(?![A-Za-z0-9_])"
)
_JWT: Final = re.compile(
    r"(?<![A-Za-z0-9_\-.])ey[A-Za-z0-9_\-]{10,4000}\.ey[A-Za-z0-9_\-]{4,8000}\.[A-Za-z0-9_\-]{0,2000}"
)
_PEM: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.{1,16000}?(?:-----END [A-Z0-9 ]{1,64}-----|\Z)", re.DOTALL
)
#: The password of a URL, and nothing else of it (RFC 3986 section 3.2.1).
_URL_PASSWORD: Final = re.compile(
    r"\b[a-z][a-z0-9+.\-]{1,20}://[^\s/:@\"'<>]{0,128}:([^\s/\"'<>]{1,256})@(?=[A-Za-z0-9\[])"
)
#: A word that names a secret, then its value.
_NAMED: Final = re.compile(
    r"(?i)(?<![A-Za-z0-9])(?:password|passwd|passphrase|passcode|pwd|secret|api[_\- ]?key|access[_\- ]?key|secret[_\- ]?(?:access[_\- ]?)?key"
    r"|private[_\- ]?key|client[_\- ]?secret|(?:access|auth|refresh|session|bearer|api)[_\- ]?token|token)"
    r"[\"']?(?:\s{0,3}(?:=|:=|=>|:)\s{0,3}|\s{1,3}is:?\s{1,3})[\"'`]?([^\s\"'`,;)}\]]{4,512})"
)
_BEARER: Final = re.compile(r"(?i)\b(?:bearer|basic)\s{1,3}([A-Za-z0-9_\-.=+/~]{16,4000})")
#: Long random-looking texts in a line that speaks of a key.
_TELLING: Final = re.compile(r"(?i)key|secret|token|credential|auth|signature|aws|password")
_RANDOM: Final = re.compile(r"(?<![A-Za-z0-9+/=_\-])[A-Za-z0-9+/=_\-]{24,128}(?![A-Za-z0-9+/=_\-])")
_HEX: Final = re.compile(r"[0-9a-fA-F\-]+")
_BITS_MIN: Final = 4.0
_WORDS_THAT_ARE_NO_SECRET: Final = frozenset({
    "null", "none", "true", "false", "string", "undefined", "required", "optional", "redacted", "hidden", "changed",
    "expired", "invalid", "missing", "reset", "wrong", "incorrect", "correct", "your", "the", "not", "must", "should",
})  # fmt: skip


def find_secrets(text: str) -> list[Finding]:
    """Return the secrets in `text`, overlapping ones included."""
    found = [Finding(match.start(), match.end(), "SECRET", 1.0, "token") for match in _TOKENS.finditer(text)]
    if "ey" in text:
        found += [Finding(match.start(), match.end(), "SECRET", 1.0, "jwt") for match in _JWT.finditer(text)]
    if "-----BEGIN" in text:
        found += [Finding(match.start(), match.end(), "SECRET", 1.0, "pem") for match in _PEM.finditer(text)]
    if "://" in text:
        found += [Finding(*match.span(1), "SECRET", 1.0, "url password") for match in _URL_PASSWORD.finditer(text)]
    found += [
        Finding(*match.span(1), "SECRET", 0.9, "named") for match in _NAMED.finditer(text) if _is_value(match.group(1))
    ]
    found += [Finding(*match.span(1), "SECRET", 0.9, "bearer") for match in _BEARER.finditer(text)]
    if _TELLING.search(text):
        found += [
            Finding(match.start(), match.end(), "SECRET", 0.7, "random")
            for match in _RANDOM.finditer(text)
            if _is_random(match.group())
        ]
    return found


def _is_value(text: str) -> bool:
    word = text.strip(".:!?").lower()
    return word not in _WORDS_THAT_ARE_NO_SECRET and not text.startswith(("$", "{", "<", "env:", "file:", "("))


def _is_random(text: str) -> bool:
    if _HEX.fullmatch(text) or "/" in text[:1] or text.count("/") > 3:  # noqa: PLR2004 - ids and paths
        return False
    kinds = sum((any(c.islower() for c in text), any(c.isupper() for c in text), any(c.isdigit() for c in text)))
    if kinds < 3:  # noqa: PLR2004 - lower, upper and digits together
        return False
    counts = Counter(text)
    bits = -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values())
    return bits >= _BITS_MIN
