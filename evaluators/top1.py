"""Top-1 accuracy of image classification, with its interval, and a target to hold it against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

NAMED = 5
"""How many sample ids an error message names."""


@dataclass(frozen=True)
class Quality:
    """A measured quality; ``low`` and ``high`` bound it with 95 % confidence (Clopper-Pearson)."""

    metric: str
    value: float
    unit: str
    correct: int
    count: int
    low: float
    high: float


@dataclass(frozen=True)
class Target:
    """A quality asked for, as a share of a reference (paper, Table I), and whether it was met."""

    reference_percent: float
    ratio: float
    required_percent: float
    measured_percent: float
    passed: bool


def top1(
    responses: Sequence[NDArray[np.generic] | int | None],
    labels: NDArray[np.integer],
    label_offset: int = 0,
    sample_ids: Sequence[int] | None = None,
) -> Quality:
    """Share of samples whose predicted label is the true one, in percent.

    ``responses``: for each sample a class index (any integer dtype, one element) or a float
    vector of scores, of which the largest counts (the first of equals). ``labels``: integers [n].
    ``label_offset``: predicted label = class index + offset. ``sample_ids``: names for errors,
    0 ... n-1 if not given. Raises ValueError for a wrong number of responses, none at all, and
    for responses that are missing, empty, NaN or of another kind, naming their sample ids.
    """
    if len(responses) != len(labels) or len(labels) == 0:
        raise ValueError(f"{len(responses)} responses for {len(labels)} labels: nothing to score.")
    ids = range(len(labels)) if sample_ids is None else sample_ids
    if len(ids) != len(labels):
        raise ValueError(f"{len(ids)} sample ids for {len(labels)} labels.")
    predicted = np.empty(len(labels), np.int64)
    problems: dict[str, list[int]] = {}
    for row, (sample, response) in enumerate(zip(ids, responses, strict=True)):
        index, problem = _class_index(response)
        predicted[row] = index
        if problem:
            problems.setdefault(problem, []).append(int(sample))
    for problem, samples in problems.items():
        named = ", ".join(map(str, samples[:NAMED])) + (", ..." if len(samples) > NAMED else "")
        raise ValueError(f"{len(samples)} responses {problem}: samples {named}.")
    correct = int(np.count_nonzero(predicted + label_offset == np.asarray(labels)))
    return _quality(correct, len(labels))


def against(quality: Quality, reference_percent: float, ratio: float = 0.99) -> Target:
    """``quality`` held against ``ratio`` of a reference's: 0.99 of FP32's for most networks,
    0.98 for MobileNet (paper, Table I)."""
    required = reference_percent * ratio
    return Target(reference_percent, ratio, required, quality.value, quality.value >= required)


def _quality(correct: int, count: int) -> Quality:
    interval = binomtest(correct, count).proportion_ci(0.95, "exact")
    low, high = 100 * float(interval.low), 100 * float(interval.high)
    return Quality("top1_percent", 100 * correct / count, "%", correct, count, low, high)


def _class_index(response: NDArray[np.generic] | int | None) -> tuple[int, str | None]:
    if response is None:
        return -1, "are missing"
    array = np.asarray(response)
    if array.size == 0:
        return -1, "are empty"
    if np.issubdtype(array.dtype, np.integer):
        if array.size == 1:
            return int(array.reshape(-1)[0]), None
        return -1, "hold more than one class index"
    if not np.issubdtype(array.dtype, np.floating):
        return -1, f"are neither class indices nor scores ({array.dtype})"
    if np.isnan(array).any():
        return -1, "hold NaN"
    if array.size == 1:
        return -1, "hold a single score, which names no class"
    return int(array.reshape(-1).argmax()), None
