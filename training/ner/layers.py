"""The network as it is trained: the layers that `redaction.ner.network` computes, as thinc learns them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from thinc.api import Maxout, Model, Softmax, chain, clone, expand_window, residual, with_array

from redaction.ner.lists import LISTS
from redaction.ner.network import LABELS
from redaction.ner.words import TABLE_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Seen = tuple[NDArray[np.int64], Floats]
    Layer = Model[Any, Any]
    Hashes = dict[str, NDArray[np.uint32]]

#: A word's vector, and the lists it stands in.
VECTOR = 300 + len(LISTS)


def embedding(width: int, table: int, pieces: int, dropout: float) -> Layer:
    """Return the layer from hashed features and vectors to `width` numbers a word."""
    inputs = len(TABLE_ROWS) * table + VECTOR
    layer = chain(_tables(table), Maxout(nO=width, nI=inputs, nP=pieces, normalize=True, dropout=dropout))
    layer.initialize()
    return layer


def context(width: int, depth: int, pieces: int, dropout: float) -> Layer:
    """Return the layers from words to chances of labels, by windows of three words, `depth` times."""
    window = residual(
        chain(expand_window(1), Maxout(nO=width, nI=3 * width, nP=pieces, normalize=True, dropout=dropout))
    )
    windows = with_array(window if depth == 1 else clone(window, depth), pad=depth)
    layer = chain(windows, with_array(Softmax(nO=len(LABELS), nI=width)))
    layer.initialize()
    return layer


def joining(width: int, heard: int, pieces: int, dropout: float) -> Layer:
    """Return the layer from a word's numbers and what was heard of it to `width` numbers."""
    layer = Maxout(nO=width, nI=width + heard, nP=pieces, normalize=True, dropout=dropout)
    layer.initialize()
    return layer


def file_of(layers: dict[str, Layer], averages: dict[tuple[int, str], Floats], lists: Hashes) -> bytes:
    """Return the file the gateway reads: the averaged weights in half precision, and the lists of names."""
    found: dict[str, NDArray[np.float32]] = {}

    def put(target: str, layer: Layer, name: str) -> None:
        found[target] = averages.get((layer.id, name), cast("Floats", layer.get_param(name)))

    for column in range(len(TABLE_ROWS)):
        put(f"table_{column}", layers["embed"].layers[0], f"table_{column}")
    for prefix, layer in layers.items():
        maxouts = [one for one in layer.walk() if one.name == "maxout"]
        norms = [one for one in layer.walk() if one.name == "layernorm"]
        scored = [one for one in layer.walk() if one.name == "softmax"]
        for at, (maxout, norm) in enumerate(zip(maxouts, norms, strict=True)):
            suffix = f"_{at}" if scored else ""
            for target, source, name in (("W", maxout, "W"), ("b", maxout, "b"), ("G", norm, "G"), ("n", norm, "b")):
                put(f"{prefix}_{target}{suffix}", source, name)
        for softmax in scored:
            put(f"{prefix}_score_W", softmax, "W")
            put(f"{prefix}_score_b", softmax, "b")
    held = io.BytesIO()
    np.savez_compressed(held, **{name: array.astype(np.float16) for name, array in found.items()}, **lists)
    return held.getvalue()


def _tables(width: int) -> Layer:
    names = [f"table_{column}" for column in range(len(TABLE_ROWS))]

    def forward(model: Layer, seen: Seen, is_train: bool) -> tuple[Floats, Callable[[Floats], Seen]]:  # noqa: ARG001, FBT001 - thinc's
        rows, vectors = seen
        columns = [model.get_param(name)[rows[:, at]].sum(axis=1) for at, name in enumerate(names)]

        def backward(gradient: Floats) -> Seen:
            for at, (name, size) in enumerate(zip(names, TABLE_ROWS, strict=True)):
                part = np.ascontiguousarray(gradient[:, at * width : (at + 1) * width])
                change = np.zeros((size, width), np.float32)
                for piece in range(rows.shape[2]):
                    model.ops.scatter_add(change, rows[:, at, piece].astype("i"), part)
                model.inc_grad(name, change)
            return seen

        return np.concatenate([*columns, vectors], axis=1), backward

    def init(model: Layer, X: object = None, Y: object = None) -> Layer:  # noqa: ARG001, N803 - thinc's names
        for name, size in zip(names, TABLE_ROWS, strict=True):
            # thinc's seed is this one's
            values = np.random.uniform(-0.1, 0.1, (size, width))  # noqa: NPY002 - as above
            model.set_param(name, values.astype(np.float32))
        return model

    return Model("tables", forward, init=init, params=dict.fromkeys(names), dims={"nO": len(names) * width + VECTOR})
