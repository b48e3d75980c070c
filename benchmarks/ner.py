"""Names found, on texts held out by source and by name: `python -m benchmarks.ner [--texts N] [--network FILE]`.

Presidio as shipped (all its recognizers, the same language model), the language model alone, the network alone, and
both as the gateway runs them; each in a process of its own, so that memory and the cost of words never seen are its
own. Recall: half of a name's characters are covered by a find of its kind; covered: of any kind. Precision: half of a
find's characters are of a name of its kind. CPU is process time, one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from training.ner.generate import Sample, Span

    Find = Callable[[Sequence[str]], list[list[Span]]]

FINDERS = ("presidio", "language model", "network", "both")
#: Of generated texts; a finder sees each text once.
TEXTS = 3000
WARM_UP = 50
#: What the profile `standard` counts.
SCORE_MIN = 0.5


def main() -> None:
    given = _options()
    if given.finder:
        print(json.dumps(_measured(given.finder, given.texts, given.network)))
        return
    results: dict[str, Any] = {}
    for finder in FINDERS:
        command = [sys.executable, "-m", "benchmarks.ner", "--finder", finder, "--texts", str(given.texts)]
        if given.network:
            command += ["--network", str(given.network)]
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        results[finder] = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(results)) if given.json else _print(results)


def _measured(finder: str, texts: int, network: Path | None) -> dict[str, Any]:
    # the libraries are a finder's own cost; the parent has none of them
    from training.ner.corpus import development, judging  # noqa: PLC0415
    from training.ner.measure import Counts, count  # noqa: PLC0415

    make: dict[str, Callable[[], Find]] = {
        "presidio": _presidio, "language model": _language_model, "network": lambda: _network(network), "both": _both,
    }  # fmt: skip
    find = make[finder]()
    find([one.text for one in development(WARM_UP)["generated"]])
    measured: dict[str, Any] = {"kinds": {}, "groups": {}, "ms_per_kb": {}}
    for name, listed in judging(texts).items():
        counts: defaultdict[str, Counts] = defaultdict(Counts)
        begun = time.process_time()
        found = find([one.text for one in listed])
        spent = time.process_time() - begun
        measured["ms_per_kb"][name] = 1e6 * spent / sum(len(one.text) for one in listed)
        for one, guessed in zip(listed, found, strict=True):
            for kind in ("PERSON", "LOCATION", "ORGANIZATION"):
                count(counts[kind], kind, one.spans, guessed)
            if name == "generated":
                count(counts[f"group {one.group}"], "PERSON", one.spans, guessed)
        for kind, counted in counts.items():
            row = [counted.recall, counted.precision, counted.cover, counted.gold]
            measured["groups" if kind.startswith("group ") else "kinds"][f"{name} {kind}"] = row
        if name == "generated":
            measured["false_texts"] = _false_texts(listed, found)
    measured["rss_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return measured


def _false_texts(listed: Sequence[Sample], found: Sequence[Sequence[Span]]) -> float:
    """Return in how many of the texts that name nobody somebody was found."""
    empty = [guessed for one, guessed in zip(listed, found, strict=True) if not one.spans]
    return sum(any(span[2] == "PERSON" for span in guessed) for guessed in empty) / max(1, len(empty))


def _presidio() -> Find:
    from presidio_analyzer import AnalyzerEngine  # noqa: PLC0415
    from presidio_analyzer.nlp_engine import SpacyNlpEngine  # noqa: PLC0415

    class Loaded(SpacyNlpEngine):
        def load(self) -> None:
            self.nlp = {"en": _spacy()}

    engine = Loaded(models=[{"lang_code": "en", "model_name": "installed"}])
    engine.load()
    analyzer = AnalyzerEngine(nlp_engine=engine, supported_languages=["en"])

    def find(texts: Sequence[str]) -> list[list[Span]]:
        return [
            [(one.start, one.end, one.entity_type) for one in analyzer.analyze(text, "en") if one.score >= SCORE_MIN]
            for text in texts
        ]

    return find


def _language_model() -> Find:
    language = _spacy()
    kinds = {"PERSON": "PERSON", "GPE": "LOCATION", "LOC": "LOCATION", "FAC": "LOCATION", "ORG": "ORGANIZATION"}

    def find(texts: Sequence[str]) -> list[list[Span]]:
        return [
            [(one.start_char, one.end_char, kinds[one.label_]) for one in document.ents if one.label_ in kinds]
            for document in language.pipe(texts, batch_size=64)
        ]

    return find


def _network(file: Path | None) -> Find:
    from redaction.model import network_data  # noqa: PLC0415
    from redaction.ner.network import Network  # noqa: PLC0415
    from training.ner.reading import tokenizer, words_of  # noqa: PLC0415

    language, vectors = tokenizer()
    network = Network(file.read_bytes() if file else network_data(), vectors)

    def find(texts: Sequence[str]) -> list[list[Span]]:
        found: list[list[Span]] = []
        for begin in range(0, len(texts), 64):
            documents = [language.make_doc(text) for text in texts[begin : begin + 64]]
            for document, scores in zip(documents, network.scores([words_of(one) for one in documents]), strict=True):
                found.append([
                    (document[one.start].idx, document[one.end - 1].idx + len(document[one.end - 1]), one.entity)
                    for one in network.spans(scores)
                ])  # fmt: skip
        return found

    return find


def _both() -> Find:
    from redaction.model import default_folder  # noqa: PLC0415
    from redaction.presidio import PresidioDetector  # noqa: PLC0415

    detector = PresidioDetector(default_folder())

    def find(texts: Sequence[str]) -> list[list[Span]]:
        return [
            [(one.start, one.end, one.entity) for one in found if one.score >= SCORE_MIN]
            for begin in range(0, len(texts), 64)
            for found in detector.find(texts[begin : begin + 64])
        ]

    return find


def _spacy() -> Any:
    import spacy  # noqa: PLC0415

    from redaction.model import default_folder  # noqa: PLC0415

    unused = ["tok2vec", "tagger", "parser", "attribute_ruler", "lemmatizer", "senter"]
    return spacy.load(default_folder(), exclude=unused)


def _print(results: dict[str, Any]) -> None:
    print("recall / precision (covered by any find), number of names")
    for row in results["both"]["kinds"]:
        cells = (results[finder]["kinds"].get(row, [0, 0, 0, 0]) for finder in FINDERS)
        said = "  ".join(f"{cell[0]:.3f} / {cell[1]:.3f} ({cell[2]:.3f})" for cell in cells)
        print(f"{row:24} {said}  {results['both']['kinds'][row][3]}")
    print("\nPERSON in generated texts, by group of names")
    for row in sorted(results["both"]["groups"]):
        cells = (results[finder]["groups"].get(row, [0, 0, 0, 0]) for finder in FINDERS)
        said = "  ".join(f"{cell[0]:.3f} / {cell[1]:.3f}" for cell in cells)
        print(f"{row.removeprefix('generated group '):24} {said}  {results['both']['groups'][row][3]}")
    print("\ncolumns: " + ", ".join(FINDERS))
    for finder in FINDERS:
        one = cast("dict[str, Any]", results[finder])
        speeds = ", ".join(f"{name} {value:.1f}" for name, value in one["ms_per_kb"].items())
        false = f"somebody in {one['false_texts']:.1%} of the texts of nobody"
        print(f"{finder:16} ms/KB {speeds}; {one['rss_mib']:.0f} MiB; {false}")


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(description="Measure the name finders.")
    options.add_argument("--finder", choices=FINDERS)
    options.add_argument("--texts", type=int, default=TEXTS)
    options.add_argument("--network", type=Path, help="another network's file, for the finder `network`")
    options.add_argument("--json", action="store_true")
    return options.parse_args()


if __name__ == "__main__":
    main()
