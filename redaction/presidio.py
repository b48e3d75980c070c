"""Detection with Presidio as the authority: its analyzer and registry, our recognizers, both name finders.

The only import of Presidio, but for its NLP engine in `redaction.ner.engine`. Runs in worker processes; memory and
start-up time are those of the language model. Nothing fails open: whatever a recognizer raises ends the call.
"""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING, Final, cast

from presidio_analyzer import AnalyzerEngine, EntityRecognizer, RecognizerRegistry, RecognizerResult
from presidio_analyzer.context_aware_enhancers import ContextAwareEnhancer

from redaction.finding import DetectionError, Finding
from redaction.forms import Forms
from redaction.model import ModelUnusable, beside, verify_all
from redaction.ner.engine import LANGUAGE, Names
from redaction.ner.others import SCORE, OtherNames
from redaction.overlap import resolved
from redaction.placeholder import CANDIDATE, ENTITIES, canonical_token
from redaction.recognizers import Recognizers
from redaction.view import view_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from presidio_analyzer.nlp_engine import NlpArtifacts

# Presidio logs texts' spans and warnings about its defaults, which are not ours
logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)

#: Texts over this are refused by the segmenter long before; a bound against misuse.
_CHARACTERS_MAX: Final = 20_000
_SECONDS_PER_BATCH_MAX: Final = 20.0
_WORD: Final = re.compile(r"[^\W\d_]{2,}")
_ID_SHAPED: Final = re.compile(r"[A-Za-z0-9_\-./:@#=+%&?]*")
_NO_NAME: Final = re.compile(r"\d|[_/\\{}<>=|@#$%^*~`()\[\]]|\.[a-z]|https?|\.(?:py|js|ts|md|json|csv|txt|com|org)\b")
_TRAILING: Final = re.compile(r"['’]s$|</?\w*$|[\s,.;:!?)\]\"'<>|=}]+$")
#: Two to four words as names are written.
_FULL_NAME: Final = re.compile(
    r"\b[^\W\d_a-zß-öø-ÿ][^\W\d_]{1,30}(?:[ '’.\-]{1,2}[^\W\d_a-zß-öø-ÿ][^\W\d_]{0,30}){1,3}"
)
#: Words the language model takes for people or places in the traffic of agents.
_COMMON: Final = frozenset({
    "invoice", "customer", "agent", "user", "assistant", "system", "tool", "json", "api", "http", "https", "id",
    "true", "false", "null", "none", "todo", "error", "ok", "visa", "mastercard", "usd", "eur", "gbp", "hello", "hi",
    "thanks", "please", "dear", "regards",
    "aadhaar", "bsn", "cpf", "dni", "iban", "isbn", "nif", "nino", "pesel", "ssn",
})  # fmt: skip


class _Forms(EntityRecognizer):
    """Our patterns and secrets, and users' own, as one recognizer: one pass over the text."""

    def __init__(self, wanted: Recognizers) -> None:
        super().__init__(supported_entities=list(ENTITIES), name="forms", supported_language=LANGUAGE)
        self._forms = Forms(wanted)
        self._looked: tuple[str, list[Finding]] = "", []

    def load(self) -> None:
        """Need nothing."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts) -> list[RecognizerResult]:
        """Return the values with a form."""
        del entities, nlp_artifacts
        return [
            RecognizerResult(one.entity, one.start, one.end, one.score,
                             recognition_metadata={RecognizerResult.RECOGNIZER_NAME_KEY: one.recognizer})
            for one in self.found(text)
        ]  # fmt: skip

    def found(self, text: str) -> list[Finding]:
        """Return the same without Presidio's types; a text asked for twice in a row is looked at once."""
        if self._looked[0] != text:
            self._looked = text, self._forms.find(text)
        return self._looked[1]


class _People(EntityRecognizer):
    """The names the finders found, without what is no name in the traffic of agents."""

    def load(self) -> None:
        """Need nothing."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts) -> list[RecognizerResult]:
        """Return names, places and organisations."""
        del entities
        found: list[RecognizerResult] = []
        for span, score in zip(nlp_artifacts.entities, nlp_artifacts.scores, strict=True):
            entity = span.label_
            for start, end in _written_names(text, span.start_char, span.end_char, entity):
                before = found[-1] if found else None
                if before and before.entity_type == entity == "PERSON" and text[before.end : start] == " ":
                    before.end, before.score = end, max(before.score, score)  # one name in two finds
                    continue
                name = {RecognizerResult.RECOGNIZER_NAME_KEY: "names"}
                found.append(RecognizerResult(entity, start, end, score, recognition_metadata=name))
        return found


class _NoContext(ContextAwareEnhancer):
    """Leaves scores as they are: our recognizers look at what stands beside a value themselves."""

    def __init__(self) -> None:
        super().__init__(0.0, 0.0, 0, 0)

    def enhance_using_context(
        self,
        text: str,
        raw_results: list[RecognizerResult],
        nlp_artifacts: NlpArtifacts,
        recognizers: list[EntityRecognizer],
        context: list[str] | None = None,
    ) -> list[RecognizerResult]:
        """Return `raw_results`."""
        del text, nlp_artifacts, recognizers, context
        return raw_results


class PresidioDetector:
    """A `Detector`. Loading takes seconds and some 350 MiB. Raises `ModelUnusable` without its model."""

    def __init__(self, folder: Path, wanted: Recognizers | None = None, languages: Sequence[str] = ()) -> None:
        wanted = wanted or Recognizers()
        self.version = f"{verify_all(folder, languages)}/{wanted.digest}"
        self._names = Names(folder)
        try:
            self._names.load()
            self._others = OtherNames({one: beside(folder, one) for one in languages})
        except (OSError, ValueError) as error:
            raise ModelUnusable(f"the language model in `{folder}` cannot be loaded ({type(error).__name__})") from None
        self._forms = _Forms(wanted)
        registry = RecognizerRegistry(
            recognizers=[
                self._forms,
                _People(
                    supported_entities=self._names.get_supported_entities(), name="people", supported_language=LANGUAGE
                ),
            ],
            supported_languages=[LANGUAGE],
        )
        self._analyzer = AnalyzerEngine(
            registry=registry, nlp_engine=self._names, supported_languages=[LANGUAGE],
            context_aware_enhancer=_NoContext(),
        )  # fmt: skip

    def find(self, texts: Sequence[str]) -> list[tuple[Finding, ...]]:
        """Return the findings of each text. Raises `DetectionError`: never a partial result."""
        if any(len(text) > _CHARACTERS_MAX for text in texts):
            raise DetectionError(f"a text longer than {_CHARACTERS_MAX} characters reached detection in one piece")
        try:
            return self._found(texts)
        except DetectionError:
            raise
        except Exception:  # noqa: BLE001 - whatever a recognizer raises, and its words may hold the text
            raise DetectionError("a recognizer failed") from None

    def _found(self, texts: Sequence[str]) -> list[tuple[Finding, ...]]:
        until = time.monotonic() + _SECONDS_PER_BATCH_MAX
        ours = [_placeholders(text) for text in texts]
        views = [view_of(_blanked(text, spans)) for text, spans in zip(texts, ours, strict=True)]
        named = [view.text for view in views if _may_hold_a_name(view.text)]
        artifacts = dict(self._names.process_batch(dict.fromkeys(named), LANGUAGE))
        foreign = self._others.find(named)
        found: list[tuple[Finding, ...]] = []
        for text, view, spans in zip(texts, views, ours, strict=True):
            if time.monotonic() > until:
                raise DetectionError(f"detection took longer than {_SECONDS_PER_BATCH_MAX:g} s")
            nlp = artifacts.get(view.text) or self._names.nothing()
            others = foreign.get(view.text, ())
            if not nlp.entities and not others and not self._forms.found(view.text):
                found.append(())  # what Presidio would say too, of the two recognizers it has
                continue
            results = self._analyzer.analyze(text=view.text, language=LANGUAGE, nlp_artifacts=nlp)
            moved = [_moved(result, view.span(result.start, result.end)) for result in results]
            moved += [
                Finding(*view.span(*place), entity, SCORE, "names of another language")
                for start, end, entity in others
                for place in _written_names(view.text, start, end, entity)
            ]
            found.append(resolved([piece for one in moved for piece in _outside(text, one, spans)]))
        return found


def _written_names(text: str, start: int, end: int, entity: str) -> Iterator[tuple[int, int]]:
    """Yield the names in what the language model took for one: it likes to take signs around a name with it."""
    written = _TRAILING.sub("", text[start:end])
    if _is_name(written):
        yield start, start + len(written)
    elif entity == "PERSON" and _NO_NAME.search(written):
        for match in _FULL_NAME.finditer(text, start, end):
            if match.group().lower() not in _COMMON:
                yield match.span()


def _placeholders(text: str) -> list[tuple[int, int]]:
    """Return where placeholders stand; a name of ten letters after the word `person` is none."""
    return [
        match.span()
        for match in CANDIDATE.finditer(text)
        if (token := canonical_token(match)) is not None
        and (token == match.group() or any(one.isdigit() for one in match.group(2)))
    ]


def _blanked(text: str, spans: list[tuple[int, int]]) -> str:
    # same length, so that finds stay where they are; what stands beside a placeholder is looked at like any text
    for start, end in spans:
        text = text[:start] + " " * (end - start) + text[end:]
    return text


def _outside(text: str, one: Finding, spans: list[tuple[int, int]]) -> Iterator[Finding]:
    """Yield what of a find is no placeholder."""
    at = one.start
    for start, end in (*spans, (one.end, one.end)):
        if start < at or start > one.end:
            continue
        piece = text[at:start]
        if any(character.isalnum() for character in piece):
            begin = at + len(piece) - len(piece.lstrip())
            yield Finding(begin, at + len(piece.rstrip()), one.entity, one.score, one.recognizer)
        at = end


def _moved(result: RecognizerResult, span: tuple[int, int]) -> Finding:
    metadata = cast("dict[str, str]", result.recognition_metadata or {})  # pyright: ignore[reportUnknownMemberType] - untyped dict
    name = metadata.get(RecognizerResult.RECOGNIZER_NAME_KEY, "")
    return Finding(span[0], span[1], result.entity_type, result.score, name)


def _may_hold_a_name(text: str) -> bool:
    return bool(_WORD.search(text)) and not (_ID_SHAPED.fullmatch(text) and not text.isalpha())


def _is_name(written: str) -> bool:
    if len(written) < 2 or _NO_NAME.search(written) or written.lower() in _COMMON:  # noqa: PLR2004 - initials alone
        return False
    return not written.isupper() or " " in written or len(written) > 5  # noqa: PLR2004 - acronyms
