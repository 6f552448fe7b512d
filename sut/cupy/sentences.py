"""Samples of a translation as the encoder reads them: a row of length and tokens for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sut.cupy.translation import Translation
from sut.device import pinned


@dataclass(frozen=True)
class Sentences:
    """``rows`` int32 [n, 1 + longest], length and tokens of each, where a device reaches them;
    ``lengths`` int32 [n] in the host's memory.
    """

    rows: Any
    lengths: NDArray[np.int32]

    @property
    def longest(self) -> int:
        """Tokens of the longest one."""
        return int(self.lengths.max())


def row_bytes(longest: int) -> int:
    """Bytes of a sample, the longest of which has so many tokens."""
    return 4 * (1 + longest)


def rows_of(inputs: Any, network: Translation) -> NDArray[np.int32]:
    """int32 [n, 1 + longest] of tokens [n, any] and lengths [n].

    Raises RuntimeError for tokens that the network has no embedding for, and empty sentences.
    """
    tokens, lengths = (np.asarray(x, np.int32) for x in inputs)
    longest = int(lengths.max())
    used = tokens[:, :longest]
    inside = np.where(np.arange(longest) < lengths[:, None], used, 0)
    words = len(network.source)
    if inside.min() < 0 or inside.max() >= words or lengths.min() < 1:
        raise RuntimeError(
            f"sut=cupy: the network knows the tokens 0 to {words - 1}, and a sentence has at least "
            f"one; the samples have tokens from {inside.min()} to {inside.max()} and sentences of "
            f"{lengths.min()} and more. Use the data set that the network was trained with."
        )
    return np.concatenate([lengths[:, None], inside], axis=1)


def placed(cp: Any, network: Translation, inputs: Any, on_device: bool) -> Sentences:
    """All samples on the device in use, or in memory of the host that it reads."""
    rows = rows_of(inputs, network)
    if on_device:
        return Sentences(cp.asarray(rows), rows[:, 0].copy())
    held = pinned(cp, rows.shape, rows.dtype)
    held[:] = rows
    return Sentences(held, rows[:, 0].copy())
