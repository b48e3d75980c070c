"""Trains the name finder: `make train-ner`, under half an hour on one core; the same seed learns from the same texts.

The language model must be installed: its tokenizer and word vectors are used, as in the gateway.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from thinc.api import Adam, NumpyOps, fix_random_seed, set_current_ops

from redaction.ner.lists import LISTS
from redaction.ner.network import Network
from redaction.ner.words import rows_of
from training.ner.corpus import development, training
from training.ner.layers import context, embedding, file_of, joining
from training.ner.measure import Measure
from training.ner.names import lists
from training.ner.reading import Read, tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Labels = NDArray[np.int64]

OUTPUT = Path(__file__).parents[2] / "redaction" / "ner" / "names.npz"
BATCH_WORDS = 1500
RATE = 0.002
WARM_UP_STEPS = 200
#: How often a word is seen without its vector, and without its own form: names are learned by what stands around them,
#: and by how they begin and end.
HIDDEN = 0.1
FORMLESS = 0.15
#: How often it is seen without the lists that it stands in: most names stand in none.
UNLISTED = 0.25
DEVELOPMENT_TEXTS = 2000


class Training:
    """One training: weights, optimizer, and how far it is."""

    def __init__(self, given: argparse.Namespace, learned: Read) -> None:
        self._learned = learned
        heard = learned.heard[0].shape[1]
        self._layers = {
            "embed": embedding(given.width, given.table, given.pieces, given.dropout),
            "first": context(given.width, given.depth, given.pieces, given.dropout),
            "join": joining(given.width, heard, given.pieces, given.dropout),
            "second": context(given.width, given.depth, given.pieces, given.dropout),
        }
        self._optimizer = Adam(RATE, L2=0.01, grad_clip=1.0, use_averages=True)
        self._chance = random.Random(given.seed)
        self.words = sum(map(len, learned.words))
        self._steps = given.epochs * (self.words // BATCH_WORDS + 1)
        self._step = 0
        self._formless = rows_of([""])[0, 0]

    def epoch(self) -> float:
        """Learn every text once; return the mean loss a word."""
        return sum(self._batch(taken) for taken in self._learned.batches(self._chance, BATCH_WORDS)) / self.words

    def file(self) -> bytes:
        """Return the weights as the gateway reads them."""
        return file_of(self._layers, self._optimizer.averages, lists())

    def _batch(self, taken: Sequence[int]) -> float:
        self._step += 1
        self._optimizer.learn_rate = (
            RATE * min(1.0, self._step / WARM_UP_STEPS) * max(0.02, 1 - self._step / self._steps)
        )
        lengths = [len(self._learned.words[one]) for one in taken]
        cuts = np.cumsum(lengths)[:-1]
        words = np.concatenate([self._learned.words[one] for one in taken])
        gold = np.concatenate([self._learned.labels[one] for one in taken])
        hidden = np.random.random(len(words)) < HIDDEN  # noqa: NPY002 - thinc's seed is this one's
        vectors = np.where(hidden[:, None], np.float32(0), self._learned.vectors[words])
        vectors[np.random.random(len(words)) < UNLISTED, -len(LISTS) :] = 0  # noqa: NPY002 - as above
        rows = self._learned.rows[words]
        rows[np.random.random(len(words)) < FORMLESS, 0] = self._formless  # noqa: NPY002 - as above
        seen = (rows, vectors)
        heard = np.concatenate([self._learned.heard[one] for one in taken]).astype(np.float32)
        embedded, embed_back = self._layers["embed"].begin_update(seen)
        change, _ = self._read("first", embedded, gold, cuts)
        joined, join_back = self._layers["join"].begin_update(np.concatenate([embedded, heard], axis=1))
        change_joined, loss = self._read("second", joined, gold, cuts)
        change += join_back(change_joined)[:, : embedded.shape[1]]
        embed_back(change)
        for layer in self._layers.values():
            layer.finish_update(self._optimizer)
        return loss

    def _read(self, name: str, words: Floats, gold: Labels, cuts: Labels) -> tuple[Floats, float]:
        """Let one reading learn; return what the words' numbers should change by, and the loss."""
        guessed, back = self._layers[name].begin_update(np.split(words, cuts))
        chances = np.concatenate(guessed)
        places = np.arange(len(gold))
        loss = float(-np.log(chances[places, gold] + 1e-9).sum())
        chances[places, gold] -= 1
        return np.concatenate(back(np.split(chances / (len(cuts) + 1), cuts))), loss


def main() -> None:
    given = _options()
    set_current_ops(NumpyOps(use_blis=False))
    fix_random_seed(given.seed)
    started = time.monotonic()
    language, vectors = tokenizer()
    learned = Read(language, vectors, training(given.generated, given.seed))
    measured = Measure(language, development(DEVELOPMENT_TEXTS))
    trained = Training(given, learned)
    print(f"{len(learned.words)} texts, {trained.words} words, read in {time.monotonic() - started:.0f} s", flush=True)
    best = -1.0
    for epoch in range(1, given.epochs + 1):
        loss = trained.epoch()
        data = trained.file()
        score, said = measured.of(Network(data, vectors))
        seconds = time.monotonic() - started
        print(f"{epoch}/{given.epochs} {seconds:.0f} s, loss {loss:.4f}, development {score:.4f} {said}", flush=True)
        if score > best:
            best = score
            given.out.write_bytes(data)
    data = given.out.read_bytes()
    print(f"{given.out.name}: {len(data)} bytes, `NETWORK_SHA256` is {hashlib.sha256(data).hexdigest()}")


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(description="Train the name finder.")
    options.add_argument("--out", type=Path, default=OUTPUT)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--width", type=int, default=96)
    options.add_argument("--depth", type=int, default=3)
    options.add_argument("--pieces", type=int, default=2)
    options.add_argument("--table", type=int, default=40)
    options.add_argument("--dropout", type=float, default=0.3)
    options.add_argument("--epochs", type=int, default=3)
    options.add_argument("--generated", type=int, default=24_000, help="texts made from templates")
    return options.parse_args()


if __name__ == "__main__":
    main()
