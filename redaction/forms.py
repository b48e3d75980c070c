"""Everything that is found by its form, in one pass: values, secrets, national numbers, users' own, and base64."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redaction.encoded import find_encoded
from redaction.national import NationalIds
from redaction.patterns import find_forms
from redaction.recognizers import Recognizers, Searcher
from redaction.secrets import find_secrets
from redaction.traits import traits_of
from redaction.view import view_of

if TYPE_CHECKING:
    from redaction.finding import Finding
    from redaction.traits import Traits


class Forms:
    """Looks for what has a form, as far as `wanted` says."""

    def __init__(self, wanted: Recognizers | None = None) -> None:
        wanted = wanted or Recognizers()
        self._national = NationalIds(wanted.countries)
        self._own = Searcher(wanted.own)

    def find(self, text: str) -> list[Finding]:
        """Return what is found in a normalised text, overlapping finds included."""
        traits = traits_of(text)
        found = self.with_traits(text, traits)
        return [*found, *find_encoded(text, self._inside)] if traits.token else found

    def with_traits(self, text: str, traits: Traits) -> list[Finding]:
        """Return what is found in `text` itself, which can hold no more than `traits` say."""
        return [
            *find_secrets(text, traits), *find_forms(text, traits), *self._national.find(text, traits),
            *self._own.find(text),
        ]  # fmt: skip

    def _inside(self, text: str) -> list[Finding]:
        seen = view_of(text).text
        return self.with_traits(seen, traits_of(seen))
