"""Whether two results may be compared, and whether a difference between them is significant."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scipy.special import ndtr

from engine.compare.side import Figure, Side

# A difference counts as significant when chance alone makes one as large so rarely.
DOUBT = 0.05


@dataclass(frozen=True)
class Difference:
    """``ratio``: to the baseline. ``p``: how often chance alone makes a difference as large,
    None where a run's own uncertainty is not known."""

    ratio: float
    p: float | None
    higher_is_better: bool

    @property
    def says(self) -> str:
        """The difference in words, with its sign and how sure it is."""
        percent = f"{100 * (self.ratio - 1):+.1f} %"
        if self.ratio == 1:
            return "the same"
        if self.p is None:
            return f"{percent}, significance not known"
        if self.p >= DOUBT:
            return f"{percent}, not significant (p={self.p:.2g})"
        better = (self.ratio > 1) == self.higher_is_better
        return f"{percent}, {'better' if better else 'worse'} (p={self.p:.1g})"


def incomparable(sides: Sequence[Side]) -> Iterator[str]:
    """Why the sides cannot be compared with the first, one sentence for each fact that differs."""
    first = sides[0]
    for side in sides[1:]:
        for name in dict.fromkeys([*first.facts, *side.facts]):
            one, other = first.facts.get(name), side.facts.get(name)
            if one is None or other is None:
                continue  # a published result does not say everything
            if one != other:
                yield f"{name}: {first.name} has {one}, {side.name} has {other}"


def difference(figure: Figure, baseline: Figure) -> Difference | None:
    """How ``figure`` differs from the baseline's, None where they share no unit or are zero.

    Two-sided test of equal means, from the uncertainty inside each run.
    """
    if figure.unit != baseline.unit or baseline.value == 0:
        return None
    p = None
    if figure.error is not None and baseline.error is not None:
        error = math.hypot(figure.error, baseline.error)
        distance = abs(figure.value - baseline.value)
        p = 2 * float(ndtr(-distance / error)) if error > 0 else float(distance == 0)
    return Difference(figure.value / baseline.value, p, figure.higher_is_better)
