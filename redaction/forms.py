"""Everything that is found by its form, in one pass: values, secrets, national numbers, users' own, and base64."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redaction.encoded import find_encoded
from redaction.national import NationalIds
from redaction.patterns import find_forms
from redaction.recognizers import Recognizers, Searcher
from redaction.secrets import find_secrets

if TYPE_CHECKING:
    from redaction.finding import Finding


class Forms:
    """Looks for what has a form, as far as `wanted` says."""

    def __init__(self, wanted: Recognizers | None = None) -> None:
        wanted = wanted or Recognizers()
        self._national = NationalIds(wanted.countries)
        self._own = Searcher(wanted.own)

    def find(self, text: str) -> list[Finding]:
        """Return what is found in a normalised text, overlapping finds included."""
        return [*self._plain(text), *find_encoded(text, self._plain)]

    def _plain(self, text: str) -> list[Finding]:
        return [*find_secrets(text), *find_forms(text), *self._national.find(text), *self._own.find(text)]
