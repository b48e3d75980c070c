"""Secrets in texts: keys of known vendors, tokens, key blocks, passwords beside the word that names them."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from redaction.finding import Finding

if TYPE_CHECKING:
    from redaction.traits import Traits

#: Known forms; each is anchored by its vendor's prefix. Those of open length need a digit: `sk-learn-…` is a word.
_TOKENS: Final = re.compile(
    r"(?<![A-Za-z0-9_])(?:"
    r"(?:(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}|dapi[a-f0-9]{32}|(?:AC|SK)[a-f0-9]{32}|NRAK-[A-Z0-9]{27}|key-[a-f0-9]{32}"
    r"|npm_[A-Za-z0-9]{36}|dop_v1_[a-f0-9]{64}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}|sbp_[a-f0-9]{40})(?![A-Za-z0-9_])"
    r"|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}|gl(?:pat|sa|dt|rt|ptt|cbt|ft|soat)[\-_][A-Za-z0-9_\-]{20,255}"
    r"|xox[abeoprs]-[A-Za-z0-9\-]{10,500}|xapp-[A-Za-z0-9\-]{10,500}"
    r"|sk-(?=[A-Za-z_\-]{0,60}\d)[A-Za-z0-9_\-]{16,1000}"
    r"|(?:sk|rk|pk|whsec)_(?:live|test)?_?(?=[A-Za-z]{0,60}\d)[A-Za-z0-9]{16,1000}"
    r"|AIza[A-Za-z0-9_\-]{35}|ya29\.[A-Za-z0-9_\-]{20,2000}|GOCSPX-[A-Za-z0-9_\-]{20,64}"
    r"|SG\.[A-Za-z0-9_\-]{16,64}\.[A-Za-z0-9_\-]{16,64}|pypi-[A-Za-z0-9_\-]{16,1000}"
    r"|hf_[A-Za-z0-9]{30,64}|gsk_[A-Za-z0-9]{40,64}|r8_[A-Za-z0-9]{37}|xai-[A-Za-z0-9]{60,100}|pplx-[A-Za-z0-9]{40,64}"
    r"|EAA[A-Za-z0-9]{40,400}|hv[sbr]\.[A-Za-z0-9_\-]{20,500}|lin_api_[A-Za-z0-9]{32,64}|ntn_[A-Za-z0-9]{40,64}"
    r"|ATATT3[A-Za-z0-9_\-=]{40,400}|dckr_pat_[A-Za-z0-9_\-]{20,64}|sq0(?:atp|csp)-[A-Za-z0-9_\-]{20,64}"
    r"|sntrys_[A-Za-z0-9_\-=+/]{40,400}|figd_[A-Za-z0-9_\-]{30,64}|rubygems_[a-f0-9]{48}|AGE-SECRET-KEY-1[A-Z0-9]{40,64}"
    r"|[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_\-=]{40,100}|\d{8,10}:AA[A-Za-z0-9_\-]{33}"
    r"|og_[A-Za-z0-9\-]{1,64}_[A-Za-z0-9_\-]{16,128}|ogr_[A-Za-z0-9_\-]{8,1000}(?:\.[A-Za-z0-9_\-]{8,200})?"
    r")"
)
#: A web hook's address is the permission to post to it.
_HOOK: Final = re.compile(
    r"(?:hooks\.slack\.com/(?:services|workflows)/|discord(?:app)?\.com/api/webhooks/)([A-Za-z0-9_\-/]{20,250})"
)
#: RFC 7519; also one that was cut before its signature, and encrypted ones of five parts (RFC 7516).
_JWT: Final = re.compile(
    r"(?<![A-Za-z0-9_\-.])(?:ey[A-Za-z0-9_\-]{10,4000}\.ey[A-Za-z0-9_\-]{4,16000}(?:\.[A-Za-z0-9_\-]{0,2000})?"
    r"|eyJ[A-Za-z0-9_\-]{10,4000}(?:\.[A-Za-z0-9_\-]{0,16000}){4})"
)
_PEM: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.{1,16500}?(?:-----END [A-Z0-9 ]{1,64}-----|\Z)", re.DOTALL
)
#: The password of a URL, and nothing else of it (RFC 3986 section 3.2.1).
_URL_PASSWORD: Final = re.compile(
    r"\b[a-z][a-z0-9+.\-]{1,20}://[^\s/:@\"'<>]{0,128}:([^\s/\"'<>]{1,256})@(?=[A-Za-z0-9\[])"
)
#: A word that names a secret, then its value: all that stands in quotes, else up to what ends a word.
_NAMED: Final = re.compile(
    r"(?i)(?<![A-Za-z0-9])(?:password|passwd|passphrase|passcode|pwd|secret|api[_\- ]?key|access[_\- ]?key|secret[_\- ]?(?:access[_\- ]?)?key"
    r"|(?:account|shared[_\- ]?access|signing|encryption)[_\- ]?key"
    r"|private[_\- ]?key|client[_\- ]?secret|(?:access|auth|refresh|session|bearer|api)[_\- ]?token|token)"
    r"\\?[\"']?(?:\s{0,3}(?::=|=>|=|:)\s{0,3}|\s{1,3}is:?\s{1,3})"
    r"(?:\\?\"([^\"\\\n]{4,512})|'([^'\\\n]{4,512})|`([^`\n]{4,512})|([^\s\"'`\\,;)}\]]{4,512}))"
)
#: What stands where a secret would and is none: a variable, a call, a form's blank.
_STAND_IN: Final = re.compile(
    r"\$\{|\$\(|\$[A-Z_][A-Z0-9_]*$|\{\{?[A-Za-z_. ]+\}{0,2}$|<[A-Za-z_\- ]+>?$|%\w+%$|env:|file:|\([A-Za-z ]+\)?$"
    r"|[A-Za-z_][A-Za-z_.]*\(|[a-z_]+(?:\.[a-z_]+)+$|\*+$|x+$|\.{3}",
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


def find_secrets(text: str, traits: Traits) -> list[Finding]:
    """Return the secrets in `text`, overlapping ones included; `traits` say what it can hold."""
    found: list[Finding] = []
    if traits.token or "ogr_" in text:
        found += [Finding(match.start(), match.end(), "SECRET", 1.0, "token") for match in _TOKENS.finditer(text)]
    if "eyJ" in text or ".ey" in text:
        found += [Finding(match.start(), match.end(), "SECRET", 1.0, "jwt") for match in _JWT.finditer(text)]
    if "-----BEGIN" in text:
        found += [Finding(match.start(), match.end(), "SECRET", 1.0, "pem") for match in _PEM.finditer(text)]
    if "hooks.slack.com/" in text or "/api/webhooks/" in text:
        found += [Finding(*match.span(1), "SECRET", 1.0, "web hook") for match in _HOOK.finditer(text)]
    if "://" in text and "@" in text:
        found += [Finding(*match.span(1), "SECRET", 1.0, "url password") for match in _URL_PASSWORD.finditer(text)]
    if traits.named:
        found += [
            Finding(*match.span(match.lastindex or 0), "SECRET", 0.9, "named")
            for match in _NAMED.finditer(text)
            if _is_value(match.group(match.lastindex or 0))
        ]
    if traits.bearer:
        found += [Finding(*match.span(1), "SECRET", 0.9, "bearer") for match in _BEARER.finditer(text)]
    if traits.random and _TELLING.search(text):
        found += [
            Finding(match.start(), match.end(), "SECRET", 0.7, "random")
            for match in _RANDOM.finditer(text)
            if _is_random(match.group())
        ]
    return found


def _is_value(text: str) -> bool:
    words = text.lower().split()
    first = words[0].strip(".:!?,") if words else ""
    return bool(first) and first not in _WORDS_THAT_ARE_NO_SECRET and _STAND_IN.match(text) is None


def _is_random(text: str) -> bool:
    if _HEX.fullmatch(text) or "/" in text[:1] or text.count("/") > 3:  # noqa: PLR2004 - ids and paths
        return False
    kinds = sum((any(c.islower() for c in text), any(c.isupper() for c in text), any(c.isdigit() for c in text)))
    if kinds < 3:  # noqa: PLR2004 - lower, upper and digits together
        return False
    counts = Counter(text)
    bits = -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values())
    return bits >= _BITS_MIN
