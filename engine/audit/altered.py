"""Samples that a system cannot have seen: those of a data set, each changed a little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loadgen import LoadedSet, SampleLibrary

SHIFT = 4  # pixels
BRIGHTER = 0.02


@dataclass(frozen=True)
class Altered:
    """``count`` samples made from those of ``library``, different ones for every ``seed``.

    Images are shifted by up to ``SHIFT`` pixels and made up to ``BRIGHTER`` brighter or darker;
    of sentences, two neighbouring words change places. Sizes and lengths stay. A sample depends
    on the seed and its index alone.
    """

    library: SampleLibrary
    count: int
    seed: int

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"{self.library.name}, altered"

    @property
    def total_count(self) -> int:
        """Number of samples."""
        return self.count

    @property
    def performance_count(self) -> int:
        """All of them."""
        return self.count

    def load(self, indices: NDArray[np.int64]) -> LoadedSet:
        """The samples ``indices``, as the library loads them, changed."""
        indices = np.asarray(indices, np.int64)
        sources = indices % self.library.total_count
        loaded = self.library.load(np.unique(sources))
        rows = loaded.rows(sources)
        inputs = tuple(array[rows] for array in loaded.inputs)
        for place, index in enumerate(indices):
            rng = np.random.default_rng((self.seed, int(index)))
            _alter([array[place : place + 1] for array in inputs], rng)
        return LoadedSet(indices, inputs)

    def unload(self, indices: Sequence[int] | NDArray[np.int64]) -> None:
        """Nothing to let go of."""


def _alter(sample: list[NDArray[np.generic]], rng: np.random.Generator) -> None:
    """Change one sample, [1, ...] of each input, in place."""
    first = sample[0] if sample else np.empty(0)
    if first.ndim == 4:
        steps = tuple(rng.integers(-SHIFT, SHIFT, 2, endpoint=True))
        axes = (2, 3) if first.shape[1] <= 4 else (1, 2)
        first[...] = np.roll(first, steps, axes) * (1 + rng.uniform(-BRIGHTER, BRIGHTER))
    elif first.ndim == 2 and len(sample) > 1:
        words = int(sample[1][0]) - 1  # the last one ends the sentence
        if words > 1:
            place = int(rng.integers(words - 1))
            first[0, [place, place + 1]] = first[0, [place + 1, place]]
