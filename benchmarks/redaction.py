"""What redaction costs, beside Presidio with its own recognizers and cpex-pii-filter, in one run: CPU time on one core.

`python -m benchmarks.redaction`. Texts are new in every run, most of their words known after the first ones; the best
of a few runs counts. Presidio here is its AnalyzerEngine as shipped (all default recognizers) over the
same language model's name finder, one text at a time; the full pipeline of a model as shipped takes longer still.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import random
import resource
import time
from typing import TYPE_CHECKING, cast

import spacy
import tldextract
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import SpacyNlpEngine

from gateway.detection import Detection
from gateway.outward import Redaction, Veil
from gateway.protocols.openai_chat import REQUEST_SHAPE
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
_MEMORY_MARK = 450
_LEFT_OUT = ("tok2vec", "tagger", "parser", "attribute_ruler", "lemmatizer", "senter")
ALL = Profile(name="all", inspects=True, default=Rule("placeholder", 0.5))
SCOPE = Scope(id="run/r", key=b"k" * 32)
NO_SHAPE = Shape()
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


def measured(work: Callable[[str], object], kilobytes: float, repeat: int = 7) -> float:
    """Return the best CPU milliseconds per KB of a few runs; each is told which one it is."""
    best = float("inf")
    for turn in range(repeat):
        begun = time.process_time()
        work(f"{turn}")
        best = min(best, (time.process_time() - begun) * 1000 / kilobytes)
    return best


def fresh(make: Callable[[str], list[str]], kilobytes: float, work: Callable[[list[str]], object]) -> float:
    """Return the best CPU milliseconds per KB over texts that were never seen before; making them costs nothing."""
    made = {f"{turn}": make(f"fresh {turn}") for turn in range(7)}
    return measured(lambda turn: work(made[turn]), kilobytes)


def known(detector: PresidioDetector, content: object, shape: Shape = NO_SHAPE) -> float:
    """Return the CPU milliseconds per KB of content that was seen before: what a resent history costs."""
    kilobytes = len(json.dumps(content)) / 1024

    async def all_of_it() -> float:
        redaction = Redaction(Detection.in_process(detector, "known"), {ALL.name: ALL}, ALL.name)
        veil = Veil(profile=ALL, scope=SCOPE, domain="benchmark")
        first = await redaction.tree(content, shape, veil)
        best = float("inf")
        for _ in range(60):
            begun = time.process_time()
            again = await redaction.tree(content, shape, veil)
            best = min(best, (time.process_time() - begun) * 1000 / kilobytes)
            if again != first:
                raise RuntimeError("what was seen before is redacted otherwise")
        return best

    return asyncio.run(all_of_it())


def history() -> dict[str, object]:
    """Return what an agent sends at its thirtieth step: questions, tool calls, their results, and twenty tools."""
    messages: list[object] = []
    for turn in range(30):
        arguments = json.dumps({"customer": "Ada Lovelace", "note": prose(100, f"call {turn}")})
        call = {"id": f"call_{turn}", "type": "function", "function": {"name": "find", "arguments": arguments}}
        messages += [
            {"role": "user", "content": prose(200, f"asked {turn}")},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"call_{turn}", "content": json.dumps(tree(800, f"result {turn}"))},
        ]
    return {"model": "m", "messages": messages, "tools": tools()}


def tools() -> list[object]:
    """Return the definitions of twenty tools."""
    return [
        {"type": "function", "function": {"name": f"tool_{tool}", "description": prose(300, f"tool {tool}"),
         "parameters": {"type": "object", "properties": {
             name: {"type": "string", "description": prose(80, f"{tool} {name}"), "enum": ["open", "closed"]}
             for name in ("customer", "status", "note")}}}}
        for tool in range(20)
    ]  # fmt: skip


def leaves(content: object) -> list[str]:
    return [text for row in cast("list[dict[str, object]]", content) for text in row.values() if isinstance(text, str)]


def texts_of(content: object) -> list[str]:
    return list(redactor.plan(content, Shape(), ALL).texts)


def ours() -> list[tuple[str, float, float]]:
    """Return our rows: what, milliseconds per KB, the mark."""
    data, forms = tree(51200, "tree"), Forms()
    chat = [{"role": "user", "content": prose(2000, f"turn {turn}")} for turn in range(16)]
    size, tree_size = 8.0, len(json.dumps(data)) / 1024

    def alone(texts: list[str]) -> None:
        for one in texts:
            forms.find(one)

    rows = [
        ("forms, prose", fresh(lambda seed: segments_of(prose(8192, seed)), size, alone), 0.5),
        ("forms, JSON of 50 KB", fresh(lambda seed: texts_of(tree(51200, seed)), tree_size, alone), 0.8),
    ]
    detector = PresidioDetector(default_folder())
    detector.find(["warm up, Ada Lovelace"])
    return [
        *rows,
        ("all with names, prose", fresh(lambda seed: segments_of(prose(8192, seed)), size, detector.find), 20.0),
        ("all with names, JSON of 50 KB",
         fresh(lambda seed: texts_of(tree(51200, seed)), tree_size, detector.find), 5.0),
        ("known prose again", known(detector, prose(8192, "prose")), 0.05),
        ("known chat of 16 messages again", known(detector, {"messages": chat}, REQUEST_SHAPE), 0.05),
        ("known agent's history of 90 again", known(detector, history(), REQUEST_SHAPE), 0.05),
        ("known schemas of 20 tools again", known(detector, {"tools": tools()}, REQUEST_SHAPE), 0.05),
        ("known result of 50 KB of JSON again",
         known(detector, {"result": {"structuredContent": {"rows": data}}}), 0.05),
        ("known rows of 50 KB, each by itself", known(detector, data), 0.05),
    ]  # fmt: skip


def theirs() -> list[tuple[str, float]]:
    """Return the rows of Presidio with all its recognizers, and of cpex-pii-filter where it is installed."""
    text, data = prose(8192, "prose"), tree(51200, "tree")
    size, tree_size = len(text) / 1024, len(json.dumps(data)) / 1024
    # its mail recognizer would ask the network for the list of public suffixes; the one it brings along will do
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    names = SpacyNlpEngine(models=[{"lang_code": _ENGLISH, "model_name": "md"}])
    names.nlp = {_ENGLISH: spacy.load(default_folder(), exclude=list(_LEFT_OUT))}
    registry = RecognizerRegistry(supported_languages=["en"])
    registry.load_predefined_recognizers(languages=["en"], nlp_engine=names)
    presidio = AnalyzerEngine(registry=registry, nlp_engine=names, supported_languages=["en"])
    rows = [
        ("Presidio's defaults, prose", measured(lambda _: presidio.analyze(text, "en"), size, 2)),
        ("Presidio's defaults, JSON leaf by leaf", measured(
            lambda _: [presidio.analyze(one, "en") for one in leaves(data)], tree_size, 2)),
    ]  # fmt: skip
    if importlib.util.find_spec("cpex_pii_filter") is not None:
        # its detector itself: the plug-in around it needs a framework of its own
        detector = importlib.import_module("cpex_pii_filter.pii_filter_rust").PIIDetectorRust({})
        rows += [
            ("cpex-pii-filter, prose", measured(lambda _: detector.detect(text), size)),
            ("cpex-pii-filter, JSON", measured(lambda _: detector.process_nested(data, ""), tree_size)),
        ]
    return rows


def main() -> None:
    rows = ours()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for name, milliseconds, mark in rows:
        print(f"{name:42} {milliseconds:9.3f} ms/KB   mark {mark:g}{'' if milliseconds <= mark else ', not met'}")
    print(f"{'memory of a process with the model':42} {memory:9.0f} MiB     mark {_MEMORY_MARK}")
    for name, milliseconds in theirs():
        print(f"{name:42} {milliseconds:9.3f} ms/KB")
    if importlib.util.find_spec("cpex_pii_filter") is None:
        print("cpex-pii-filter is not installed here: not measured")


if __name__ == "__main__":
    main()
