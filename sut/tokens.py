"""Answers of tokens, as systems without a network give them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LENGTHS = 1 << 16


def token_counts(answer_tokens: Sequence[int], seed: int = 0) -> NDArray[np.int32]:
    """int32[65536]: of how many tokens the answer to a sample is, by its index modulo that.

    Each is one of ``answer_tokens``, all equally likely, and the same whenever it is asked for.
    """
    return np.random.default_rng(seed).choice(np.array(answer_tokens, np.int32), LENGTHS)


def longest(answer_tokens: Sequence[int], batch: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64[k]: tokens of the longest answer of batches of these sizes, on average."""
    ordered = np.sort(np.array(answer_tokens))
    below = np.linspace(0, 1, len(ordered) + 1)
    return np.diff(below ** batch[:, None], axis=1) @ ordered
