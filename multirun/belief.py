"""What the probes so far say of the peak: a posterior over it, on a grid.

Near the peak the share of late queries grows by a power of the rate, above a floor: on a machine
that is disturbed some are late at any rate. Three unknowns describe it: the rate at which the power
has a given value, the exponent, and the floor. Late queries come in clusters, one for each time
that the queue grew too long, so a count of them is worth fewer independent ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, gammaincc, logit

Floats = NDArray[np.float64]

# A probe may be the victim of a disturbance: none lowers a rate's likelihood below this share.
DISTURBED = 1e-3
# Standard error of the power law, per unit of the late share's logit away from the target's.
MISFIT = 0.3
PEAKS, SLOPES = 1600, 11
# Floors, as shares of the target's late share, and how likely each is at first.
FLOORS = np.array([0.0, 0.25, 0.5, 0.75])
FLOOR_PRIOR = np.array([0.85, 0.05, 0.05, 0.05])
# What is less likely than this, beside the likeliest, is left out.
NEGLIGIBLE = 1e-8
# Standard deviation, in the rate's logarithm, within which clusters are of a size.
ALIKE = 0.03
# The grid reaches so far up and down from the guess, in its logarithm, and to the ceiling; no place
# on it is impossible.
REACH, ANYWHERE = 2.5, 1e-4
# So many late queries, in clusters of the prior's size, are taken for granted.
CLUSTER_PRIOR = 3.0


@dataclass(frozen=True)
class Prior:
    """Before the first probe: the peak lies about ``guess_qps``, below ``ceiling_qps``.

    ``spread``: standard deviation of its logarithm. ``slope``: the exponent with which the late
    share grows at the peak, known to about a factor of two. ``dispersion``: how many late
    queries come together there. ``floor_qps``: below it hardly a query waits for another, so that
    a system which is too slow there is so at any rate: it is not looked below.
    """

    guess_qps: float
    ceiling_qps: float
    spread: float = 0.35
    slope: float = 12.0
    dispersion: float = 3.0
    floor_qps: float = 0.0


@dataclass(frozen=True)
class Evidence:
    """Late queries among those answered at a rate.

    ``cluster_squares``: the sum of the squared sizes of the clusters that the late ones came in.
    """

    rate_qps: float
    late: float
    answered: float
    cluster_squares: float


@dataclass(frozen=True)
class Target:
    """What a run at a rate must achieve: at most ``allowed`` late ones of ``queries``."""

    queries: int
    allowed: int

    @property
    def share(self) -> float:
        """The late share with which such a run passes about every second time."""
        return (max(self.allowed, 0) + 0.5) / self.queries


@dataclass(frozen=True)
class Belief:
    """A posterior over k cases. ``peaks``: float64[k] of queries/s; ``weights``: float64[k], sum 1.

    ``anchors``: float64[k], the rates at which ``share`` is late by queueing alone; ``slopes``,
    ``floors``: float64[k]. ``dispersion``: variance of the late count over that of independent
    ones.
    """

    anchors: Floats
    slopes: Floats
    floors: Floats
    peaks: Floats
    weights: Floats
    share: float
    dispersion: float

    @cached_property
    def _sorted(self) -> tuple[Floats, Floats]:
        order = np.argsort(self.peaks)
        return self.peaks[order], np.cumsum(self.weights[order])

    def quantile(self, share: float) -> float:
        """The rate that the peak lies below with probability ``share``."""
        peaks, below = self._sorted
        return float(peaks[min(int(np.searchsorted(below, share)), len(peaks) - 1)])

    @property
    def spread(self) -> float:
        """Standard deviation of the peak's logarithm."""
        logs = np.log(self.peaks)
        mean = float((logs * self.weights).sum())
        return float(np.sqrt((self.weights * (logs - mean) ** 2).sum()))

    def pass_probability(self, rate_qps: float, target: Target) -> float:
        """How likely a run at this rate is to pass."""
        if target.allowed < 0:
            return 0.0
        late = target.queries * late_share(
            rate_qps, self.anchors, self.slopes, self.floors, self.share
        )
        passes = gammaincc(target.allowed / self.dispersion + 1, late / self.dispersion)
        return float((passes * self.weights).sum())


def believe(prior: Prior, found: Sequence[Evidence], target: Callable[[float], Target]) -> Belief:
    """The posterior after ``found``; ``target(rate)`` is what a run at that rate must achieve."""
    share = target(prior.guess_qps).share
    dispersion = _dispersion(found, 3 * share, prior.dispersion)
    anchors, slopes, floors = _cases(prior, share)
    off = np.log(anchors / prior.guess_qps) / prior.spread
    steep = np.log(slopes / prior.slope) / np.log(2)
    near = np.logaddexp(-0.5 * off**2, np.log(ANYWHERE))
    log_weight = near - 0.5 * steep**2 + np.log(FLOOR_PRIOR)
    log_weight = np.where(anchors > prior.ceiling_qps, -np.inf, log_weight)
    for evidence in found:
        late = late_share(evidence.rate_qps, anchors, slopes, floors, share)
        own = _common_size(evidence.rate_qps, found, dispersion)
        log_weight = log_weight + _log_likelihood(evidence, late, share, own)
    weights = np.exp(log_weight - log_weight.max())
    likely = weights > NEGLIGIBLE
    anchors, slopes, floors = (
        np.broadcast_to(array, weights.shape)[likely] for array in (anchors, slopes, floors)
    )
    peaks = _peaks(anchors, slopes, floors, share, target)
    weights = weights[likely] / weights[likely].sum()
    return Belief(anchors, slopes, floors, peaks, weights, share, dispersion)


def _cases(prior: Prior, share: float) -> tuple[Floats, Floats, Floats]:
    """float64[p, 1, 1], [1, m, 1] and [1, 1, f]: anchors, slopes and floors of the grid."""
    reach = max(REACH, math.log(prior.ceiling_qps / prior.guess_qps))
    anchors = prior.guess_qps * np.exp(np.linspace(-REACH, reach, PEAKS))
    slopes = np.geomspace(prior.slope / 4, prior.slope * 4, SLOPES)
    return anchors[:, None, None], slopes[None, :, None], share * FLOORS[None, None, :]


def late_share(
    rate_qps: float, anchors: Floats, slopes: Floats, floors: Floats, share: float
) -> Floats:
    """The late share at a rate, for each anchor, slope and floor."""
    queueing = expit(logit(share) + np.log(rate_qps / anchors) * slopes)
    return np.clip(floors + (1 - floors) * queueing, 1e-9, 1 - 1e-9)


def _peaks(
    anchors: Floats,
    slopes: Floats,
    floors: Floats,
    share: float,
    target: Callable[[float], Target],
) -> Floats:
    """The rates that pass every second time: a long run may have a larger share of late ones."""
    places = np.geomspace(anchors.min(), anchors.max(), 40)
    shares = np.array([target(float(rate)).share for rate in places])
    wanted = np.exp(np.interp(np.log(anchors), np.log(places), np.log(shares)))
    by_queueing = np.clip((wanted - floors) / (1 - floors), 0.05 * share, None)
    return anchors * np.exp((logit(by_queueing) - logit(share)) / slopes)


def _dispersion(found: Sequence[Evidence], highest_share: float, prior: float) -> float:
    """Mean size of the cluster that a late query is in, where not every query is late."""
    near = [e for e in found if e.late <= highest_share * e.answered]
    late = CLUSTER_PRIOR + sum(e.late for e in near)
    return (CLUSTER_PRIOR * prior + sum(e.cluster_squares for e in near)) / late


def _common_size(rate_qps: float, found: Sequence[Evidence], prior: float) -> float:
    """Mean size of the cluster that a late query is in at about this rate.

    Taken from all runs near it: a lucky run has few clusters and small ones, and would count for
    more than an unlucky one if each were weighted by its own.
    """
    near = np.array(
        [math.exp(-0.5 * (math.log(e.rate_qps / rate_qps) / ALIKE) ** 2) for e in found]
    )
    late = np.array([e.late for e in found])
    squares = np.array([e.cluster_squares for e in found])
    return float((CLUSTER_PRIOR * prior + near @ squares) / (CLUSTER_PRIOR + near @ late))


def _log_likelihood(evidence: Evidence, late: Floats, share: float, dispersion: float) -> Floats:
    """Of what was seen, where ``late`` are the shares that were to be expected."""
    # Far from the peak the power law fails: what is seen there says less of the peak itself.
    seen = (evidence.late + 0.5) / (evidence.answered + 1)
    misfit = (MISFIT * (logit(seen) - logit(share))) ** 2
    own = max(dispersion, 1.0) + evidence.late * misfit
    within = evidence.answered - evidence.late
    value = (evidence.late * np.log(late) + within * np.log1p(-late)) / own
    return np.logaddexp(value - value.max(), np.log(DISTURBED))
