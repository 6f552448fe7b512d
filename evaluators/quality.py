"""A measured quality, a target to hold it against, and how unusable responses are named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

NAMED = 5
"""How many sample ids an error message names."""


@dataclass(frozen=True)
class Quality:
    """A measured quality.

    ``metric``: its name with its unit, for machines; ``name``: for readers. ``count``: samples.
    ``details``: further figures by name; ``note``: what a reader should know beside the value.
    """

    metric: str
    name: str
    value: float
    unit: str
    count: int
    details: Mapping[str, float]
    note: str


@dataclass(frozen=True)
class Target:
    """A quality asked for, as a share of a reference (paper, Table I), and whether it was met.

    All but ``ratio`` in the unit of the quality that was measured. ``published``: ``required`` is
    the rules' own number in place of that share.
    """

    reference: float
    ratio: float
    required: float
    measured: float
    passed: bool
    published: bool = False


def against(
    quality: Quality, reference: float, ratio: float = 0.99, published: float | None = None
) -> Target:
    """``quality`` held against ``ratio`` of a reference's: 0.99 of FP32's for most networks,
    0.98 for MobileNet (paper, Table I); or against what is ``published`` for all of the data,
    0.22 mAP for SSD-MobileNet. Nothing is good enough for a reference that gets nothing right.
    """
    required = reference * ratio if published is None else published
    passed = reference > 0 and quality.value >= required
    return Target(reference, ratio, required, quality.value, passed, published is not None)


def answered_once(
    count: int, sample_ids: Sequence[int] | None, total: int, what: str
) -> Sequence[int]:
    """The sample of each of ``count`` responses: ``sample_ids``, 0 ... total-1 if not given.

    Raises ValueError unless each of the ``total`` samples (``what`` they are) is answered once.
    """
    ids = range(total) if sample_ids is None else sample_ids
    if count != len(ids) or count == 0:
        raise ValueError(f"{count} responses for {len(ids)} {what}: nothing to score.")
    if sorted(ids) != list(range(total)):
        raise ValueError(
            f"The responses are for {len(set(ids))} of {total} {what}, {count} in all: each of "
            "them must be answered once."
        )
    return ids


def refuse(problems: Iterable[tuple[int, str | None]]) -> None:
    """Raise ValueError if any sample has a problem, naming the first kind and its samples."""
    by_problem: dict[str, list[int]] = {}
    for sample, problem in problems:
        if problem:
            by_problem.setdefault(problem, []).append(int(sample))
    for problem, samples in by_problem.items():
        named = ", ".join(map(str, samples[:NAMED])) + (", ..." if len(samples) > NAMED else "")
        raise ValueError(f"{len(samples)} responses {problem}: samples {named}.")
