"""What redaction costs, beside Presidio with its own recognizers and cpex-pii-filter, in one run: CPU time on one core.

`python -m benchmarks.redaction`. Presidio here is its AnalyzerEngine as shipped (all default recognizers) over the
same language model's name finder, one text at a time; the full pipeline of a model as shipped takes longer still.
"""

from __future__ import annotations

import importlib.util
import json
import random
import resource
import time
from typing import TYPE_CHECKING, cast

import spacy
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import SpacyNlpEngine

from redaction import redactor
from redaction.finding import Scope, Shape
from redaction.forms import Forms
from redaction.model import default_folder
from redaction.presidio import PresidioDetector
from redaction.profile import Profile, Rule
from redaction.stream import segments_of

if TYPE_CHECKING:
    from collections.abc import Callable

_ENGLISH = "en"
_LEFT_OUT = ("tok2vec", "tagger", "parser", "attribute_ruler", "lemmatizer", "senter")
ALL = Profile(name="all", inspects=True, default=Rule("placeholder", 0.5))
SCOPE = Scope(id="run/r", key=b"k" * 32)
SENTENCES = (
    "The shipment to {name} left the harbour on Monday and will arrive within {n} days. ",
    "Please check whether invoice {n} was paid before you write to {name} again. ",
    "We talked about the roadmap, the budget for next year and what the board may say. ",
    "Her number is +1 212-555-{m}, and she prefers a call after {k} in the afternoon. ",
    "Nothing in the log tells why the build failed; the tests were green an hour earlier. ",
)
NAMES = ("Ada Lovelace", "Tariq Aziz", "Ines Prado", "Wei Zhang", "Olu Adebayo", "Piotr Nowak")


def prose(characters: int, seed: str) -> str:
    of, text = random.Random(seed), ""
    while len(text) < characters:
        text += of.choice(SENTENCES).format(
            name=of.choice(NAMES), n=of.randrange(10**5), m=f"{of.randrange(10**4):04d}", k=of.randrange(1, 6)
        )
    return text[:characters]


def tree(characters: int, seed: str) -> object:
    of, rows = random.Random(seed), list[object]()
    while len(json.dumps(rows)) < characters:
        rows.append({
            "id": of.randrange(10**9), "sku": f"SKU-{of.randrange(10**6):06d}", "price": of.random() * 100,
            "status": of.choice(["open", "paid", "sent"]), "customer": of.choice(NAMES),
            "mail": f"user{of.randrange(999)}@example.com", "note": prose(60, f"{seed}{len(rows)}"),
            "at": f"2026-11-{of.randrange(1, 29):02d}T07:00:00Z", "trace": f"{of.getrandbits(128):032x}",
        })  # fmt: skip
    return rows


def measured(work: Callable[[], object], kilobytes: float, repeat: int = 3) -> float:
    """Return the best CPU milliseconds per KB of a few runs."""
    best = float("inf")
    for _ in range(repeat):
        begun = time.process_time()
        work()
        best = min(best, (time.process_time() - begun) * 1000 / kilobytes)
    return best


def whole(detector: PresidioDetector, content: object) -> None:
    planned = redactor.plan(content, Shape(), ALL)
    redactor.finish(planned, dict(zip(planned.texts, detector.find(planned.texts), strict=True)), SCOPE)


def leaves(content: object) -> list[str]:
    return [text for row in cast("list[dict[str, object]]", content) for text in row.values() if isinstance(text, str)]


def main() -> None:
    text, data, forms = prose(8192, "prose"), tree(51200, "tree"), Forms()
    size, tree_size = len(text) / 1024, len(json.dumps(data)) / 1024
    planned = redactor.plan(data, Shape(), ALL)
    rows = [
        ("forms, prose", measured(lambda: [forms.find(one) for one in segments_of(text)], size)),
        ("forms, JSON of 50 KB", measured(lambda: [forms.find(one) for one in planned.texts], tree_size)),
    ]
    detector = PresidioDetector(default_folder())
    detector.find(["warm up, Ada Lovelace"])
    rows += [
        ("all with names, prose", measured(lambda: whole(detector, text), size)),
        ("all with names, JSON of 50 KB", measured(lambda: whole(detector, data), tree_size)),
    ]
    found = dict(zip(planned.texts, detector.find(planned.texts), strict=True))
    known = redactor.plan(text, Shape(), ALL)
    spans = dict(zip(known.texts, detector.find(known.texts), strict=True))
    for name, content, knows, kilobytes in (("prose", text, spans, size), ("JSON", data, found, tree_size)):
        rows.append((f"known {name} again", measured(
            lambda content=content, knows=knows: redactor.finish(redactor.plan(content, Shape(), ALL), knows, SCOPE),
            kilobytes)))  # fmt: skip
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    names = SpacyNlpEngine(models=[{"lang_code": _ENGLISH, "model_name": "md"}])
    names.nlp = {_ENGLISH: spacy.load(default_folder(), exclude=list(_LEFT_OUT))}
    registry = RecognizerRegistry(supported_languages=["en"])
    registry.load_predefined_recognizers(languages=["en"], nlp_engine=names)
    presidio = AnalyzerEngine(registry=registry, nlp_engine=names, supported_languages=["en"])
    rows += [
        ("Presidio's defaults, prose", measured(lambda: presidio.analyze(text, "en"), size, 1)),
        ("Presidio's defaults, JSON leaf by leaf", measured(
            lambda: [presidio.analyze(one, "en") for one in leaves(data)], tree_size, 1)),
    ]  # fmt: skip
    for name, milliseconds in rows:
        print(f"{name:42} {milliseconds:9.3f} ms/KB")
    print(f"{'memory of a process with the model':42} {memory:9.0f} MiB")
    if importlib.util.find_spec("cpex_pii_filter") is None:
        print("cpex-pii-filter is not installed here: not measured")


if __name__ == "__main__":
    main()
