"""The sample library of a translation data set: sentences as tokens, and their translations."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from loadgen.samples import LoadedSet

END = 2
"""Token that ends a sentence: the third of every vocabulary, after <unk> and <s>."""

JOINT = "@@"
"""What ends a subword that the next one belongs to."""

Tokens = NDArray[np.int32]


@dataclass(frozen=True)
class Sentences:
    """Sentences cut into samples, as ``loadgen.samples.SampleLibrary`` asks for them.

    ``source``: the tokens of each sentence, END included. ``truth``: their translations as plain
    text. ``vocabulary``: the target language's subwords by number.
    """

    name: str
    synthetic: bool
    performance_count: int
    truth: tuple[str, ...]
    source: Sequence[Sequence[int]]
    vocabulary: Sequence[str]

    @property
    def total_count(self) -> int:
        """Number of samples."""
        return len(self.source)

    @cached_property
    def fingerprint(self) -> str:
        """Hex sha256 over sentences, translations and vocabulary: equal for equal samples."""
        digest = hashlib.sha256(repr([list(row) for row in self.source]).encode())
        digest.update("\n".join((*self.truth, *self.vocabulary)).encode())
        return digest.hexdigest()

    def load(self, indices: NDArray[np.int64]) -> LoadedSet:
        """The sentences ``indices``: tokens int32 [n, longest], END after the end, and the number
        of tokens of each, int32 [n]."""
        indices = np.asarray(indices, np.int64)
        return LoadedSet(indices, _inputs([self.source[i] for i in indices]))

    def unload(self, indices: Sequence[int] | NDArray[np.int64]) -> None:
        """Nothing to do: the arrays go with the LoadedSet that holds them."""

    def calibration(self, count: int) -> tuple[Tokens, ...]:
        """Nothing: translators are quantised without samples (``engine.models.quantise``)."""
        return ()

    def evaluated_too(self, count: int) -> int:
        """None of no samples (as ``engine.datasets.library`` has it)."""
        return 0

    def answer(self, response: NDArray[np.generic]) -> NDArray[np.uint8]:
        """A translation's tokens as the suite logs it: UTF-8 text up to END, subwords joined."""
        return np.frombuffer(joined(response, self.vocabulary).encode(), np.uint8)


def joined(tokens: NDArray[np.generic], vocabulary: Sequence[str]) -> str:
    """The words that ``tokens`` (integers [n]) spell up to END; unknown ones are ``<unk>``."""
    ids = tokens.tolist()
    ids = ids[: ids.index(END)] if END in ids else ids
    words = (vocabulary[i] if i < len(vocabulary) else vocabulary[0] for i in ids)
    return f"{' '.join(words)} ".replace(f"{JOINT} ", "").strip()


def padded(rows: Sequence[Sequence[int]]) -> Tokens:
    """Rows of different lengths side by side, END after each: int32 [n, longest]."""
    out = np.full((len(rows), max(map(len, rows))), END, np.int32)
    for line, row in zip(out, rows, strict=True):
        line[: len(row)] = row
    return out


def _inputs(rows: Sequence[Sequence[int]]) -> tuple[Tokens, Tokens]:
    return padded(rows), np.array([len(row) for row in rows], np.int32)
