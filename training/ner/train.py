"""Trains the name finder: `make train-ner`, some twenty minutes on one core, the same file for the same seed.

The language model's archive must be installed: its tokenizer and word vectors are used, as in the gateway.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import random
import sys
import time
from pathlib import Path

import numpy as np
import spacy
from thinc.api import Adam, Maxout, Model, NumpyOps, Softmax, chain, clone, expand_window, fix_random_seed, residual, set_current_ops, with_array, warmup_linear

from redaction.model import default_folder
from redaction.ner.network import LABELS, Network
from redaction.ner.words import TABLE_ROWS, rows_of
from training.ner.corpus import development, training
from training.ner.measure import Measure

OUTPUT = Path(__file__).parents[2] / "redaction" / "ner" / "names.npz"
VECTOR = 300
BATCH_WORDS = 1500


def tables(width: int) -> Model:
    """Return the layer of hashed features and vectors."""

    def forward(model, seen, is_train):
        rows, vectors = seen
        out = np.concatenate(
            [*(model.get_param(f"table_{c}")[rows[:, c]].sum(axis=1) for c in range(len(TABLE_ROWS))), vectors], axis=1
        )

        def backward(d_out):
            for c, size in enumerate(TABLE_ROWS):
                d = np.zeros((size, width), np.float32)
                part = np.ascontiguousarray(d_out[:, c * width : (c + 1) * width])
                for piece in range(rows.shape[2]):
                    model.ops.scatter_add(d, rows[:, c, piece].astype("i"), part)
                model.inc_grad(f"table_{c}", d)
            return seen

        return out, backward

    def init(model, X=None, Y=None):
        for c, size in enumerate(TABLE_ROWS):
            model.set_param(f"table_{c}", np.random.uniform(-0.1, 0.1, (size, width)).astype(np.float32))
        return model

    layer = Model("tables", forward, init=init, params={f"table_{c}": None for c in range(len(TABLE_ROWS))},
                  dims={"nO": len(TABLE_ROWS) * width + VECTOR})
    return layer


def network(width: int, depth: int, pieces: int, table: int, dropout: float):
    """Return embedding and context layers; both are trained, the file holds their weights."""
    embed = chain(tables(table), Maxout(nO=width, nI=len(TABLE_ROWS) * table + VECTOR, nP=pieces, normalize=True, dropout=dropout))
    window = residual(chain(expand_window(1), Maxout(nO=width, nI=3 * width, nP=pieces, normalize=True, dropout=dropout)))
    context = with_array(chain(clone(window, depth)) if depth == 1 else clone(window, depth), pad=depth)
    score = with_array(Softmax(nO=len(LABELS), nI=width))
    context.initialize() ; embed.initialize() ; score.initialize()
    return embed, chain(context, score)


class Read:
    """Texts as the network sees them: words, rows, vectors, labels; read once."""

    def __init__(self, language, texts):
        self.words, self.at, self.lengths, self.gold = [], [], [], []
        place = {}
        unique = []
        for one in texts:
            document = language.make_doc(one.text)
            if not len(document):
                continue
            self.words.append([t.text for t in document])
            self.at.append(np.array([place.setdefault(t.text, len(place)) for t in document]))
            self.gold.append(labels_of(document, one.spans))
        self.rows = rows_of(list(place))
        self.vectors = vectors_of(language, list(place))


def vectors_of(language, words):
    """Return the vectors of `words` as the gateway looks them up."""
    from redaction.ner.vectors import WordVectors
    return WordVectors(language.vocab.vectors.data, language.vocab.vectors.find, language.vocab.strings.add).of(words)


def labels_of(document, spans):
    found = np.zeros(len(document), dtype=np.int64)
    for start, end, entity in spans:
        inside = [t.i for t in document if t.idx < end and t.idx + len(t) > start and not t.is_space]
        if not inside or entity not in {"PERSON", "LOCATION", "ORGANIZATION"}:
            continue
        base = LABELS.index(f"B-{entity}")
        if len(inside) == 1:
            found[inside[0]] = base + 3
        else:
            found[inside[0] : inside[-1] + 1] = base + 1
            found[inside[0]], found[inside[-1]] = base, base + 2
    return found


def batches(read, chance):
    order = list(range(len(read.gold)))
    chance.shuffle(order)
    taken, count = [], 0
    for at in order:
        taken.append(at)
        count += len(read.gold[at])
        if count >= BATCH_WORDS:
            yield taken
            taken, count = [], 0
    if taken:
        yield taken


def weights_of(embed, context, average):
    """Return the arrays of the file, halved in precision."""
    found = {}
    value = lambda layer, name: average.get((layer.id, name), layer.get_param(name))
    table, maxout, norm = embed.layers[0], *maxout_of(embed.layers[1])
    for c in range(len(TABLE_ROWS)):
        found[f"table_{c}"] = value(table, f"table_{c}")
    put = lambda name, layer, maxout, norm: found.update({
        f"{name}_W{layer}": value(maxout, "W"), f"{name}_b{layer}": value(maxout, "b"),
        f"{name}_G{layer}": value(norm, "G"), f"{name}_n{layer}": value(norm, "b")})
    put("embed", "", maxout, norm)
    windows = [one for one in context.walk() if one.name.startswith("maxout")]
    norms = [one for one in context.walk() if one.name == "layernorm"]
    maxouts = [one for one in context.walk() if one.name == "maxout"]
    for layer, (one, other) in enumerate(zip(maxouts, norms, strict=True)):
        put("window", f"_{layer}", one, other)
    softmax = next(one for one in context.walk() if one.name == "softmax")
    found["score_W"], found["score_b"] = value(softmax, "W"), value(softmax, "b")
    return {name: array.astype(np.float16) for name, array in found.items()}


def maxout_of(layer):
    return (next(one for one in layer.walk() if one.name == "maxout"), next(one for one in layer.walk() if one.name == "layernorm"))


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--out", type=Path, default=OUTPUT)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--width", type=int, default=96)
    options.add_argument("--depth", type=int, default=3)
    options.add_argument("--pieces", type=int, default=2)
    options.add_argument("--table", type=int, default=40)
    options.add_argument("--dropout", type=float, default=0.2)
    options.add_argument("--epochs", type=int, default=12)
    options.add_argument("--generated", type=int, default=30000)
    options.add_argument("--fresh", type=int, default=1, help="how often texts are generated anew")
    given = options.parse_args()
    ops = NumpyOps(use_blis=False)
    set_current_ops(ops)
    fix_random_seed(given.seed)
    chance = random.Random(given.seed)
    language = spacy.load(default_folder(), exclude=["tok2vec", "tagger", "parser", "attribute_ruler", "lemmatizer", "senter", "ner"])
    started = time.monotonic()
    learned = Read(language, training(given.generated, given.seed))
    measured = Measure(language, development(2000))
    print(f"{len(learned.gold)} texts, {sum(map(len, learned.gold))} words, {len(learned.rows)} different, read in {time.monotonic() - started:.0f} s", flush=True)
    embed, context = network(given.width, given.depth, given.pieces, given.table, given.dropout)
    for model in (embed, context):
        for one in model.walk():
            one.ops = ops
    optimizer = Adam(0.001, L2=0.01, grad_clip=1.0, use_averages=True)
    steps = given.epochs * (sum(map(len, learned.gold)) // BATCH_WORDS + 1)
    best, step = -1.0, 0
    for epoch in range(given.epochs):
        loss = 0.0
        for taken in batches(learned, chance):
            step += 1
            optimizer.learn_rate = 0.002 * min(1.0, step / 200) * max(0.02, 1 - step / steps)
            at = np.concatenate([learned.at[one] for one in taken])
            # words that are rare are sometimes not known by themselves, only by their beginnings and ends
            rows = learned.rows[at]
            vectors = learned.vectors[at]
            hide = np.random.random(len(at)) < 0.1
            vectors = np.where(hide[:, None], np.float32(0), vectors)
            embedded, back_embed = embed.begin_update((rows, vectors))
            lengths = [len(learned.at[one]) for one in taken]
            cuts = np.cumsum(lengths)[:-1]
            guessed, back = context.begin_update(np.split(embedded, cuts))
            gold = np.concatenate([learned.gold[one] for one in taken])
            flat = np.concatenate(guessed)
            gradient = flat.copy()
            gradient[np.arange(len(gold)), gold] -= 1
            loss += float(-np.log(flat[np.arange(len(gold)), gold] + 1e-9).sum())
            gradient /= len(taken)
            back_embed(np.concatenate(back(np.split(gradient, cuts))))
            embed.finish_update(optimizer)
            context.finish_update(optimizer)
        data = file_of(weights_of(embed, context, optimizer.averages))
        score, said = measured.of(Network(data))
        print(f"{epoch + 1}/{given.epochs} {time.monotonic() - started:.0f} s loss {loss / sum(map(len, learned.gold)):.4f} {said}", flush=True)
        if score > best:
            best = score
            given.out.write_bytes(data)
    print(f"{given.out}: {given.out.stat().st_size} bytes, sha256 {hashlib.sha256(given.out.read_bytes()).hexdigest()}")


def file_of(weights) -> bytes:
    held = io.BytesIO()
    np.savez_compressed(held, **weights)
    return held.getvalue()


if __name__ == "__main__":
    sys.exit(main())
