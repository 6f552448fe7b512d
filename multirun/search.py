"""The search for the highest rate that a system sustains."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
from scipy.optimize import brentq

from multirun.belief import Belief, Evidence, Prior, Target, believe

Kind = Literal["probe", "confirm"]

# Rates that are looked at before the one to confirm is chosen.
PLACES = 50
# In run lengths: what a run may last longer than planned, until its last query is answered.
OVERRUN = 0.02
# After a probe without a late query, the next one goes to this quantile of the peak.
NONE_LATE = 0.9
# Of the best chance to pass, where none is as good as wanted.
NEARLY = 0.97
# The nth confirming run that failed lowers the rate by no more than n times this share: it may
# have been disturbed, and then says little of slower rates.
STEP = 0.1


class Outcome(StrEnum):
    """What a run says of its rate."""

    PASS = "PASS"
    FAIL = "FAIL"
    UNDECIDED = "UNDECIDED"


@dataclass(frozen=True)
class Load:
    """A run to make. ``share``: its length, as a share of a run under the full rules.

    ``dispersion``: how many late queries count as one independent one, for early decisions.
    """

    rate_qps: float
    kind: Kind
    share: float
    dispersion: float


@dataclass(frozen=True)
class Probe:
    """One run of the search: its load, what it said, and what it cost.

    ``tail_ms``: its tail latency, None if nothing was answered; where there are several bounds, the
    tail of what is ``judged``: that which more were over. ``late``: answers over the bound, of
    ``query_count``; ``cluster_squares`` as in ``Evidence``. ``reused``: taken from an earlier
    search.
    """

    rate_qps: float
    kind: Kind
    outcome: Outcome
    tail_ms: float | None
    late: int
    query_count: int
    cluster_squares: float
    duration_s: float
    reused: bool = False
    judged: str = "latency"

    @property
    def evidence(self) -> Evidence:
        """What it adds to the belief."""
        return Evidence(self.rate_qps, self.late, self.query_count, self.cluster_squares)


@dataclass(frozen=True)
class SearchSettings:
    """How much a search may cost and how sure it must be.

    ``tolerance``: probes end when the peak is known to this share of it (standard deviation).
    ``probe_run_lengths``: probes before the first confirming run cost no more than so many full
    runs; after one that failed, what ``most_run_lengths`` leaves beside one more.
    ``shortest_probe``, ``longest_probe``: of one probe, in run lengths; within them it has at
    least ``least_queries``.
    ``worth_raising``: a rate whose first confirming run has passed is raised if it lies so much
    below the peak, and all runs together stay within ``most_run_lengths``; of several confirming
    runs, the further ones come on top of that.
    ``confidence``: how likely the first confirming run should be to pass.
    ``max_confirmations``: confirming runs before it gives up. ``floor``: nor does it look
    below this share of the prior's guess: there a queue is not what makes queries late.
    ``confirming_runs``: how many must pass at one rate (five in v0.5).
    """

    tolerance: float = 0.008
    probe_run_lengths: float = 0.45
    shortest_probe: float = 1 / 40
    longest_probe: float = 1 / 6
    least_queries: int = 200
    confidence: float = 0.75
    max_confirmations: int = 6
    most_run_lengths: float = 2.5
    worth_raising: float = 0.012
    confirming_runs: int = 1
    max_probes: int = 60
    floor: float = 0.1


@dataclass(frozen=True)
class SearchResult:
    """``best_qps``: the highest confirmed rate, None if there is none; ``reason``: why it ended.

    ``interval_qps``: the rate that passes the rules every second time lies in it with 95 %
    probability. ``low_qps``, ``high_qps``: the highest rate that passed and the lowest that
    failed, None without one. ``run_lengths``: what all runs cost together, in full runs.
    """

    best_qps: float | None
    interval_qps: tuple[float, float] | None
    low_qps: float | None
    high_qps: float | None
    run_lengths: float
    probes: tuple[Probe, ...]
    reason: str


Evaluate = Callable[[Load], Probe]


def search(
    evaluate: Evaluate,
    prior: Prior,
    target: Callable[[float], Target],
    run_length_s: Callable[[float], float],
    settings: SearchSettings | None = None,
) -> SearchResult:
    """Probe until the peak is known well enough, then confirm it under the full rules.

    ``target(rate)``, ``run_length_s(rate)``: what a full run at a rate must achieve, and how
    long it takes. A probe goes where the peak most likely is, as long as it is worth; a
    confirming run where it passes with good probability. One that fails is evidence too: the
    next is made where the belief then says.
    """
    hunt = _Hunt(evaluate, prior, target, run_length_s, settings or SearchSettings())
    hunt.probe()
    return hunt.confirm()


def estimate(
    evaluate: Evaluate,
    prior: Prior,
    target: Callable[[float], Target],
    run_length_s: Callable[[float], float],
    enough: Callable[[Belief], bool],
    settings: SearchSettings | None = None,
) -> Belief:
    """Where the peak lies, by probes alone; they end before their time once it is ``enough``."""
    hunt = _Hunt(evaluate, prior, target, run_length_s, settings or SearchSettings(), enough)
    hunt.probe()
    return hunt.belief


class _Hunt:
    def __init__(
        self,
        evaluate: Evaluate,
        prior: Prior,
        target: Callable[[float], Target],
        run_length_s: Callable[[float], float],
        settings: SearchSettings,
        enough: Callable[[Belief], bool] = lambda belief: False,
    ) -> None:
        self.evaluate, self.prior, self.target = evaluate, prior, target
        self.run_length_s, self.settings, self.enough = run_length_s, settings, enough
        self.probes: list[Probe] = []
        self._believed: Belief | None = None
        self.cost = 0.0

    @property
    def belief(self) -> Belief:
        if self._believed is None:
            found = [probe.evidence for probe in self.probes]
            self._believed = believe(self.prior, found, self.target)
        return self._believed

    @property
    def floor_qps(self) -> float:
        return max(self.settings.floor * self.prior.guess_qps, self.prior.floor_qps)

    @property
    def below(self) -> bool:
        """Whether the peak lies where it is not looked for."""
        return self.belief.quantile(0.5) < self.floor_qps

    @property
    def nothing_above(self) -> str:
        reason = f"no rate above {self.floor_qps:.3g} qps passed"
        if self.floor_qps > self.prior.floor_qps:
            return reason
        return (
            f"{reason}, and the system is nearly idle there: queries are late at any rate; "
            "end other programs, or try another precision, another system or faster hardware"
        )

    @property
    def last_confirming(self) -> Probe | None:
        return next((probe for probe in reversed(self.probes) if probe.kind == "confirm"), None)

    @property
    def too_late(self) -> bool:
        """Whether the last confirming run failed for its late queries."""
        last = self.last_confirming
        if last is None:
            return False
        target = self.target(last.rate_qps)  # a hopeless run was ended before it had all of them
        return last.late > min(target.allowed, target.share * last.query_count)

    def run(self, rate: float, kind: Kind, share: float, belief: Belief) -> Probe:
        probe = self.evaluate(Load(rate, kind, share, belief.dispersion))
        self.probes.append(probe)
        self._believed = None
        self.cost += probe.duration_s / self.run_length_s(rate)
        return probe

    def probe(self, budget: float | None = None) -> None:
        """Until the peak is known well enough, or all runs together have cost ``budget``."""
        own = self.settings
        budget = own.probe_run_lengths if budget is None else budget
        for number in range(own.max_probes - len(self.probes)):
            belief, left = self.belief, budget - self.cost
            if belief.spread <= own.tolerance or left < own.shortest_probe:
                return
            if self.enough(belief):
                return
            if self.below:
                return
            # Above the peak there is more to see, below it the other end of the slope.
            beside = (0.0, 0.5, -0.3)[number % 3] / self.prior.slope
            rate = belief.quantile(0.5) * math.exp(beside)
            if self.probes and self.probes[-1].late == 0:  # which says little but "higher"
                rate = max(rate, belief.quantile(NONE_LATE))
            rate = min(rate, self.prior.ceiling_qps)
            worth = max((0.02 / belief.spread) ** 2, own.least_queries / self.target(rate).queries)
            share = min(max(worth, own.shortest_probe), own.longest_probe, left)
            self.run(rate, "probe", share, belief)

    def confirm(self) -> SearchResult:
        own = self.settings
        rate, misses, least = math.inf, 0, 0.0
        for _ in range(own.max_confirmations):
            if self.below:
                return self.result(None, self.nothing_above)
            # Each miss makes it less likely that the belief is right: it must be surer.
            wanted = 1 - (1 - own.confidence) / (1 + misses)
            rate = max(self.likely(self.belief, wanted, rate), least)
            if best := self.confirmed(rate):
                return self.result(best, "confirmed under the full rules")
            if self.too_late:
                # It may have been disturbed, but is never repeated at its own rate.
                misses += 1
                least, rate = (1 - STEP * misses) * rate, 0.995 * rate
                self.probe(self.affordable - OVERRUN)
            else:
                rate = math.inf
        last = self.last_confirming
        assert last is not None
        reason = (
            f"{own.max_confirmations} confirming runs failed, the last at {last.rate_qps:.4g} qps"
        )
        return self.result(None, reason)

    @property
    def affordable(self) -> float:
        """What may have been spent before a rate is confirmed, in run lengths."""
        return self.settings.most_run_lengths - 1

    def confirmed(self, rate: float) -> float | None:
        """``rate``, or a higher one that its first run gave reason to try, if as many runs passed
        there as are wanted."""
        wanted = self.settings.confirming_runs
        if not self.pass_at(rate, 1):
            return None
        higher = self.higher(rate)
        if higher and self.pass_at(higher, wanted):
            return higher
        # One run has passed; several must have done so without another rate between them.
        left = wanted if higher and wanted > 1 else wanted - 1
        return rate if self.pass_at(rate, left) else None

    def higher(self, rate: float) -> float | None:
        """A rate to be tried instead, if this one is too low and the runs may still be made."""
        own, belief = self.settings, self.belief
        higher = self.likely(belief, own.confidence)
        worth = belief.quantile(0.5) > (1 + own.worth_raising) * rate and higher > 1.005 * rate
        return higher if worth and self.cost <= self.affordable else None

    def pass_at(self, rate: float, count: int) -> bool:
        belief = self.belief
        runs = (self.run(rate, "confirm", 1, belief).outcome for _ in range(count))
        return all(outcome is Outcome.PASS for outcome in runs)

    def likely(self, belief: Belief, wanted: float, below: float = math.inf) -> float:
        """The highest rate at which a run passes with probability ``wanted``.

        Where none does, because some queries are late at any rate, one that does nearly as likely
        as any: a faster run has more queries, of which a larger share may be late.
        """
        high = min(self.prior.ceiling_qps, below)
        low = min(self.floor_qps, high)

        def passing(log_rate: float) -> float:
            rate = math.exp(log_rate)
            return belief.pass_probability(rate, self.target(rate))

        places = np.linspace(math.log(low), math.log(high), PLACES)
        found = np.array([passing(place) for place in places])
        wanted = min(wanted, NEARLY * found.max())
        last = np.flatnonzero(found >= wanted)[-1]
        if last == PLACES - 1:
            return high
        edge = brentq(lambda place: passing(place) - wanted, places[last], places[last + 1])
        return math.exp(edge)

    def result(self, best: float | None, reason: str) -> SearchResult:
        belief = self.belief
        passed = [p.rate_qps for p in self.probes if p.outcome is Outcome.PASS]
        failed = [p.rate_qps for p in self.probes if p.outcome is Outcome.FAIL]
        return SearchResult(
            best_qps=best,
            interval_qps=(belief.quantile(0.025), belief.quantile(0.975)),
            low_qps=max(passed, default=None),
            high_qps=min(failed, default=None),
            run_lengths=self.cost,
            probes=tuple(self.probes),
            reason=reason,
        )
