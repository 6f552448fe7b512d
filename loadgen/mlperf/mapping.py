"""Official settings as ours; what has no counterpart is refused by name."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from pathlib import Path

from loadgen.mlperf.enums import TestMode, TestScenario
from loadgen.mlperf.settings import TestSettings
from loadgen.settings import Issue, Mode, Scenario, Settings

logger = logging.getLogger("loadgen.mlperf")

SCENARIOS = {
    TestScenario.SingleStream: Scenario.SINGLE_STREAM,
    TestScenario.MultiStream: Scenario.MULTI_STREAM,
    TestScenario.Server: Scenario.SERVER,
    TestScenario.Offline: Scenario.OFFLINE,
}
# Wake-ups later than this count against the machine (see loadgen.Settings.late_ms).
LATE_MS = 1.0


def effective(settings: TestSettings, audit_config: str) -> TestSettings:
    """A copy of ``settings`` with the audit file, where there is one, and test05 applied.

    Raises ValueError for settings that this program cannot follow.
    """
    asked = copy.copy(settings)
    if audit_config and Path(audit_config).is_file():
        logger.warning("%s overrides settings of this test", audit_config)
        if asked.FromConfig(audit_config, "*", asked.scenario.name, 2):
            raise ValueError(f"{audit_config}: it cannot be read")
    if asked.test05:
        asked.qsl_rng_seed = asked.test05_qsl_rng_seed
        asked.sample_index_rng_seed = asked.test05_sample_index_rng_seed
        asked.schedule_rng_seed = asked.test05_schedule_rng_seed
        asked.mode = TestMode.PerformanceOnly
    for wrong, problem in _refused(asked):
        if wrong:
            raise ValueError(problem)
    return asked


def _refused(asked: TestSettings) -> Iterator[tuple[bool, str]]:
    server = asked.scenario is TestScenario.Server
    threads = asked.server_num_issue_query_threads
    yield (
        threads > 0,
        f"server_num_issue_query_threads={threads}: the Python interface has no such threads; "
        "use 0",
    )
    yield (
        asked.mode is TestMode.FindPeakPerformance and not server,
        "mode=FindPeakPerformance: only the scenario Server has a peak to find",
    )
    chosen = [
        name
        for name in (
            "performance_issue_unique",
            "performance_issue_same",
            "sample_concatenate_permutation",
        )
        if getattr(asked, name)
    ]
    yield len(chosen) > 1, f"{' and '.join(chosen)}: choose one of them"
    yield (
        asked.sample_concatenate_permutation and asked.scenario is TestScenario.MultiStream,
        "sample_concatenate_permutation: not with the scenario MultiStream",
    )


def to_settings(asked: TestSettings, mode: Mode, target_qps: float | None = None) -> Settings:
    """Our settings of one phase; ``target_qps`` overrides that of ``asked``.

    Raises ValueError, naming the setting, where values contradict each other.
    """
    scenario = SCENARIOS[asked.scenario]
    accuracy = mode is Mode.ACCURACY
    count = max(1, asked.min_query_count)
    # As in the official one: Offline is one query, and a target sets the probability.
    may_end_early = not accuracy and scenario is not Scenario.OFFLINE
    target = asked.accuracy_log_sampling_target
    issue = _issue(asked, mode)
    tokens_bounded = asked.use_token_latencies and scenario is Scenario.SERVER
    return Settings(
        scenario=scenario,
        mode=mode,
        target_qps=target_qps or _rate(asked),
        samples_per_query=(
            asked.multi_stream_samples_per_query if scenario is Scenario.MULTI_STREAM else 1
        ),
        percentile=round(_percentile(asked) * 100, 6),
        bound_ms=_bound_ms(asked) if scenario is Scenario.SERVER else None,
        use_token_latencies=asked.use_token_latencies,
        ttft_bound_ms=asked.ttft_latency / 1e6 if tokens_bounded else None,
        tpot_bound_ms=asked.tpot_latency / 1e6 if tokens_bounded else None,
        min_duration_ms=asked.min_duration_ms,
        max_duration_ms=asked.max_duration_ms or None if may_end_early else None,
        min_query_count=count,
        max_query_count=asked.max_query_count or None if may_end_early else None,
        min_sample_count=count,
        # Whoever is silent is watched by this layer, which knows when a callback is at work.
        sut_timeout_ms=1e12,
        late_ms=LATE_MS,
        issue=issue,
        same_index=asked.performance_issue_same_index if issue is Issue.SAME else 0,
        accuracy_log_probability=0.0 if target else asked.accuracy_log_probability,
        accuracy_log_sampling_target=target,
        accuracy_log_seed=asked.accuracy_log_rng_seed,
        qsl_seed=asked.qsl_rng_seed,
        sample_index_seed=asked.sample_index_rng_seed,
        schedule_seed=asked.schedule_rng_seed,
    )


def _rate(asked: TestSettings) -> float | None:
    match asked.scenario:
        case TestScenario.Server:
            return asked.server_target_qps
        case TestScenario.Offline:
            return asked.offline_expected_qps
        case TestScenario.SingleStream:
            latency_ns = asked.single_stream_expected_latency_ns
        case _:
            latency_ns = asked.multi_stream_expected_latency_ns
    return 1e9 / latency_ns if latency_ns else None


def _percentile(asked: TestSettings) -> float:
    match asked.scenario:
        case TestScenario.SingleStream:
            return asked.single_stream_target_latency_percentile
        case TestScenario.MultiStream:
            return asked.multi_stream_target_latency_percentile
    return asked.server_target_latency_percentile


def _bound_ms(asked: TestSettings) -> float | None:
    # Where tokens are bounded the query latency is only reported.
    if asked.use_token_latencies:
        return asked.server_target_latency_ns / 1e6 or None
    if asked.server_target_latency_ns == 0:
        raise ValueError("server_target_latency_ns=0: no query can be that fast")
    return asked.server_target_latency_ns / 1e6


def _issue(asked: TestSettings, mode: Mode) -> Issue:
    if mode is Mode.ACCURACY and asked.performance_issue_same:
        logger.warning("performance_issue_same: not in an accuracy run, which asks for each sample")
        return Issue.RANDOM
    if asked.performance_issue_unique:
        return Issue.UNIQUE
    if asked.performance_issue_same:
        return Issue.SAME
    return Issue.EQUAL if asked.sample_concatenate_permutation else Issue.RANDOM
