"""The arithmetic both name finders share: maxout layers, and residual windows of three words. NumPy only.

Maxout: Goodfellow et al. 2013; layer normalisation: Ba et al. 2016; windows over words: Collobert et al. 2011.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.lib.stride_tricks import as_strided

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_EPSILON: Final = np.float32(1e-8)
#: Words at a time: what is computed for them stays in a core's cache.
_WORDS_AT_ONCE: Final = 512


class Maxout:
    """The largest of a few linear pieces, normalised. `weights` are (width, pieces, inputs), `bias` (width, pieces)."""

    def __init__(self, weights: Floats, bias: Floats, gain: Floats, shift: Floats) -> None:
        self.width, self._pieces, self.inputs = weights.shape
        # pieces one after the other: quicker to take the largest of
        self._weights = np.ascontiguousarray(weights.transpose(1, 0, 2)).reshape(-1, self.inputs).T
        self._bias = np.ascontiguousarray(bias.T).ravel()
        self._gain, self._shift = gain, shift
        self._mean = np.full(self.width, 1 / self.width, np.float32)

    def of(self, seen: Floats) -> Floats:
        """Return a row of `width` for each row of `inputs`."""
        best = self._largest(seen)
        best -= (best @ self._mean)[:, None]
        scale = np.einsum("ij,ij->i", best, best)
        scale /= np.float32(self.width)
        scale += _EPSILON
        best *= (1 / np.sqrt(scale))[:, None]
        best *= self._gain
        best += self._shift
        return best

    def _largest(self, seen: Floats) -> Floats:
        flat = seen @ self._weights
        flat += self._bias
        width = self.width
        best = np.ascontiguousarray(flat[:, :width])
        for piece in range(1, self._pieces):
            np.maximum(best, flat[:, piece * width : (piece + 1) * width], out=best)
        return best


class Windows:
    """Layers that each add to every word what stands around it."""

    def __init__(self, layers: Sequence[Maxout]) -> None:
        self._layers = layers

    def of(self, words: Floats, lengths: Sequence[int]) -> Floats:
        """Return a row for each of `words`, which are those of texts of these `lengths`, one after the other."""
        # texts stand apart by as many empty rows as the windows reach
        pad = len(self._layers)
        inside = np.arange(len(words)) + pad * np.repeat(1 + np.arange(len(lengths)), lengths)
        hidden = np.zeros((len(words) + pad * (len(lengths) + 1), words.shape[1]), np.float32)
        hidden[inside] = words
        for layer in self._layers:
            self._add(hidden, layer)
        return hidden[inside]

    @staticmethod
    def _add(hidden: Floats, layer: Maxout) -> None:
        rows, width = hidden.shape
        step = hidden.itemsize
        before = hidden[0].copy()
        for begin in range(1, rows - 1, _WORDS_AT_ONCE):
            end = min(begin + _WORDS_AT_ONCE, rows - 1)
            # three rows that follow one another are one row of three
            seen = as_strided(hidden[begin - 1 :], (end - begin, 3 * width), (width * step, step)).copy()
            seen[0, :width] = before
            before = hidden[end - 1].copy()
            hidden[begin:end] += layer.of(seen)
