"""Top-1 accuracy of image classification, with its interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from evaluators.quality import Quality, answered_once, refuse


def top1(
    responses: Sequence[NDArray[np.generic] | int | None],
    labels: NDArray[np.integer],
    sample_ids: Sequence[int] | None = None,
) -> Quality:
    """Share of samples whose predicted label is the true one, in percent.

    ``responses``: for each sample a label (any integer dtype, one element) or a float vector of
    scores, of which the largest counts (the first of equals). ``labels``: integers [n].
    ``sample_ids``: the labels that the responses belong to, in case they are not all of them in
    order. Raises ValueError for responses that are missing, repeated, empty, NaN or of another
    kind, naming them.
    """
    ids = answered_once(len(responses), sample_ids, len(labels), "labels")
    read = [_class_index(response) for response in responses]
    refuse(zip(ids, (problem for _, problem in read), strict=True))
    predicted = np.array([index for index, _ in read])
    wanted = np.asarray(labels)[np.asarray(ids)]
    correct = int(np.count_nonzero(predicted == wanted))
    return _quality(correct, len(labels))


def labelled(response: NDArray[np.generic], offset: int) -> NDArray[np.generic]:
    """The label, int64, that a classifier's ``response`` says: class index + ``offset``.

    The suite logs labels, and its script for ImageNet compares what is logged with them. A
    response that names no class is returned as it is, for ``top1`` to refuse.
    """
    index, problem = _class_index(response)
    return response if problem else np.array(index + offset, np.int64)


def _quality(correct: int, count: int) -> Quality:
    interval = binomtest(correct, count).proportion_ci(0.95, "exact")
    low, high = 100 * float(interval.low), 100 * float(interval.high)
    return Quality(
        metric="top1_percent",
        name="top-1",
        value=100 * correct / count,
        unit="%",
        count=count,
        details={"correct": correct, "low_percent": low, "high_percent": high},
        note=f"{correct:,} of {count:,}; 95 % interval {low:.2f} to {high:.2f} %",
    )


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
