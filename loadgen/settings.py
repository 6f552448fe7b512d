"""What a run is asked to do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise


class Scenario(StrEnum):
    """The four traffic patterns of the paper (Table II)."""

    SINGLE_STREAM = "single_stream"
    MULTI_STREAM = "multi_stream"
    SERVER = "server"
    OFFLINE = "offline"

    @property
    def closed_loop(self) -> bool:
        """Whether a query is issued only once the one before it is complete."""
        return self in (Scenario.SINGLE_STREAM, Scenario.MULTI_STREAM)


class Mode(StrEnum):
    """Measure speed on one loaded set, or run every sample once and keep the responses."""

    PERFORMANCE = "performance"
    ACCURACY = "accuracy"


class Issue(StrEnum):
    """Which samples of the loaded set a performance run asks for.

    ``random``: with replacement. ``unique``: each once. ``same``: one, again and again.
    ``equal``: permutations of the whole set, one after the other.
    """

    RANDOM = "random"
    UNIQUE = "unique"
    SAME = "same"
    EQUAL = "equal"


class Arrivals(StrEnum):
    """How the queries of a server run arrive.

    ``poisson``: independently, at ``target_qps``. ``constant``: evenly spaced. ``burst``:
    ``burst_size`` at once, the bursts by a Poisson process. ``trace``: at ``trace_ns``.
    """

    POISSON = "poisson"
    CONSTANT = "constant"
    BURST = "burst"
    TRACE = "trace"


@dataclass(frozen=True)
class Settings:
    """Settings of one run; times in the unit of their name, counts in queries unless said.

    ``percentile``: of the latency that is judged and reported, in percent (90 or 99, say).
    ``bound_ms``: the latency bound at that percentile, for ``server`` only.
    ``target_qps``: the Poisson rate of ``server``, the expected samples/s of ``offline``, the
    expected queries/s of a closed loop, which may be left out.
    ``confidence``: of the early-stopping test; None leaves the test out.
    ``warmup_ms``: about how long a performance run's traffic runs before the timed part, for
    which it does not count (see ``loadgen.warmup``).
    ``spin_us``: how long before a query's time a waiting taker stops sleeping and spins.
    ``max_late_share``: largest share of waiting takes that may wake more than ``late_ms`` late.
    ``extend``: a run whose early-stopping test is undecided at its end goes on until it is
    decided (with tokens, until both are), at most for ``max_duration_ms``. The first query at or
    after that is the last one, as in the official LoadGen.
    ``arrivals``, ``burst_size``, ``trace_ns``: how server queries arrive; a trace is the
    ascending times in ns after the start, and replaces rate, duration and count.
    ``interval_ms``: for multi_stream, the fixed time between queries of v0.5 (paper, III-C): a
    query that still runs at the next tick skips whole intervals and delays the rest. None: each
    query follows the last one.
    ``issue``, ``same_index``: which samples are asked for; the index is a place in the loaded set.
    ``use_token_latencies``: answers are tokens; when the first of each came and how many there
    were is recorded. A server run is then judged by ``ttft_bound_ms`` and ``tpot_bound_ms``, the
    bounds of the time to the first token and per further token, and not by ``bound_ms``.
    ``traffic``: whose rule chooses a performance run's loaded set, "v6" (the first samples) or
    "v5" (any samples), of the official LoadGen.
    ``accuracy_log_probability``: share of a performance run's responses that are kept;
    ``accuracy_log_sampling_target`` sets it by the number of responses wanted instead, of those
    that ``target_qps`` lets expect.
    ``*_seed``: unsigned 64-bit seeds of the random sequences.
    Raises ValueError for values that contradict each other.
    """

    scenario: Scenario
    mode: Mode = Mode.PERFORMANCE
    target_qps: float | None = None
    samples_per_query: int = 1
    percentile: float = 99.0
    bound_ms: float | None = None
    min_duration_ms: float = 10_000.0
    max_duration_ms: float | None = None
    min_query_count: int = 100
    max_query_count: int | None = None
    min_sample_count: int = 1
    confidence: float | None = 0.99
    sut_timeout_ms: float = 60_000.0
    warmup_ms: float = 0.0
    spin_us: float = 0.0
    late_ms: float = 1.0
    max_late_share: float = 0.01
    extend: bool = False
    arrivals: Arrivals = Arrivals.POISSON
    burst_size: int = 1
    trace_ns: tuple[int, ...] | None = None
    interval_ms: float | None = None
    issue: Issue = Issue.RANDOM
    same_index: int = 0
    use_token_latencies: bool = False
    ttft_bound_ms: float | None = None
    tpot_bound_ms: float | None = None
    traffic: str = "v6"
    accuracy_log_probability: float = 0.0
    accuracy_log_sampling_target: int = 0
    accuracy_log_seed: int = 0
    qsl_seed: int = 0
    sample_index_seed: int = 0
    schedule_seed: int = 0

    @property
    def bounds_ms(self) -> dict[str, float]:
        """The bounds in force, by what they are of: "latency", or "ttft" and "tpot"."""
        own = {"latency": self.bound_ms}
        if self.use_token_latencies:
            own = {"ttft": self.ttft_bound_ms, "tpot": self.tpot_bound_ms}
        return {name: bound for name, bound in own.items() if bound is not None}

    def __post_init__(self) -> None:
        for wrong, problem in self._checks():
            if wrong:
                raise ValueError(problem)

    def _checks(self) -> Iterator[tuple[bool, str]]:
        server = self.scenario is Scenario.SERVER
        rate, per_query = self.target_qps, self.samples_per_query
        if not self.scenario.closed_loop or rate is not None:
            finite = rate is not None and math.isfinite(rate) and rate > 0
            yield not finite, f"target_qps={rate}: {self.scenario} needs a finite rate above 0"
        if server and rate:
            years = self.min_query_count / rate > LONGEST_S
            yield years, f"target_qps={rate}: min_query_count={self.min_query_count} take years"
        yield not server and self.bound_ms is not None, f"bound_ms={self.bound_ms}: only server"
        if server and self.mode is Mode.PERFORMANCE and not self.use_token_latencies:
            yield self.bound_ms is None, "server needs bound_ms, the latency bound it is judged by"
        warms_up = self.mode is Mode.ACCURACY and self.warmup_ms > 0
        yield warms_up, f"warmup_ms={self.warmup_ms:g}: only a performance run has a warm-up"
        if self.scenario is not Scenario.MULTI_STREAM:
            problem = f"samples_per_query={per_query}: only multi_stream may have more than one"
            yield per_query > 1, problem
        for name, least in LEAST.items():
            value = getattr(self, name)
            low = value is not None and not (math.isfinite(value) and value >= least)
            yield low, f"{name}={value}: it must be finite and at least {least:g}"
        for name, (lowest, highest) in WITHIN.items():
            value = getattr(self, name)
            outside = value is not None and not lowest <= value <= highest
            yield outside, f"{name}={value}: it must lie in {lowest:g} to {highest:g}"
        for kind in ("duration_ms", "query_count"):
            shortest, longest = getattr(self, f"min_{kind}"), getattr(self, f"max_{kind}")
            contradict = longest is not None and longest < shortest
            yield contradict, f"max_{kind}={longest} is below min_{kind}={shortest}"
        yield from self._arrival_checks()
        yield from self._issue_checks()
        yield from self._token_checks()
        yield self.traffic not in ("v5", "v6"), f"traffic={self.traffic}: it must be v5 or v6"

    def _arrival_checks(self) -> Iterator[tuple[bool, str]]:
        trace, chosen = self.trace_ns, self.arrivals
        yield (trace is None) == (chosen is Arrivals.TRACE), "trace_ns goes with arrivals=trace"
        if trace is not None:
            unordered = not trace or trace[0] < 0 or any(a > b for a, b in pairwise(trace))
            yield unordered, "trace_ns: times must ascend from 0 or more, and there must be one"
        if chosen is not Arrivals.POISSON:
            only_server = self.scenario is not Scenario.SERVER
            yield only_server, f"arrivals={chosen}: only server queries arrive by themselves"
        if chosen is not Arrivals.BURST:
            yield self.burst_size > 1, f"burst_size={self.burst_size} goes with arrivals=burst"
        if self.interval_ms is not None:
            wrong = self.scenario is not Scenario.MULTI_STREAM
            yield wrong, f"interval_ms={self.interval_ms}: only multi_stream has an interval"
        if self.extend:
            yield self.max_duration_ms is None, "extend needs max_duration_ms, where it ends"
            yield self.confidence is None, "extend needs confidence, which it extends to"
            fixed = self.scenario is Scenario.OFFLINE or self.mode is Mode.ACCURACY
            yield fixed, f"extend: a {self.mode} run of {self.scenario} has a fixed length"
        if self.scenario is Scenario.OFFLINE:
            for name in ("max_duration_ms", "max_query_count"):
                value = getattr(self, name)
                yield value is not None, f"{name}={value}: offline is one query, which is not cut"

    def _issue_checks(self) -> Iterator[tuple[bool, str]]:
        issue = self.issue
        if issue is not Issue.SAME:
            yield self.same_index > 0, f"same_index={self.same_index} goes with issue=same"
        if self.mode is Mode.ACCURACY:
            yield issue is Issue.SAME, "issue=same: an accuracy run asks for each sample once"
        if issue is Issue.EQUAL:
            several = self.samples_per_query > 1
            yield several, "issue=equal is not defined for queries of several samples"
        if issue in (Issue.UNIQUE, Issue.EQUAL):
            yield self.extend, f"extend: a run with issue={issue} has a fixed length"
            other = self.arrivals is not Arrivals.POISSON
            yield other, f"arrivals={self.arrivals} does not go with issue={issue}"
        both = self.accuracy_log_probability > 0 and self.accuracy_log_sampling_target > 0
        yield both, "accuracy_log_probability and accuracy_log_sampling_target: choose one of them"

    def _token_checks(self) -> Iterator[tuple[bool, str]]:
        server = self.use_token_latencies and self.scenario is Scenario.SERVER
        for name in ("ttft_bound_ms", "tpot_bound_ms"):
            value = getattr(self, name)
            unused = value is not None and not server
            yield unused, f"{name}={value}: only a server run with use_token_latencies has it"
            missing = value is None and server and self.mode is Mode.PERFORMANCE
            yield missing, f"server with use_token_latencies needs {name}, which it is judged by"


# The longest run there is: its nanoseconds fit in 64 bits.
LONGEST_S = 1e9
LEAST = {
    "burst_size": 1,
    "bound_ms": 1e-6,
    "ttft_bound_ms": 1e-6,
    "tpot_bound_ms": 1e-6,
    "samples_per_query": 1,
    "min_query_count": 1,
    "min_sample_count": 1,
    "sut_timeout_ms": 1,
    "late_ms": 0,
    "same_index": 0,
    "accuracy_log_sampling_target": 0,
}
WITHIN = {
    "min_duration_ms": (0, LONGEST_S * 1e3),
    "max_duration_ms": (0, LONGEST_S * 1e3),
    "warmup_ms": (0, LONGEST_S * 1e3),
    "interval_ms": (1e-3, LONGEST_S * 1e3),
    "spin_us": (0, 1e6),
    "percentile": (0.01, 99.999),
    "confidence": (0.5, 0.999999),
    "max_late_share": (0, 1),
    "accuracy_log_probability": (0, 1),
}
