"""The settings of a run under the names and units of the official LoadGen.

As in the format itself, 0 stands for a limit or a hint that is not set.
"""

from __future__ import annotations

from loadgen._traffic import equal_count, offline_count
from loadgen.official.run import MODE_NAMES, SCENARIO_NAMES, FinishedRun
from loadgen.settings import Issue, Mode, Scenario, Settings

Value = str | bool | int | float


def plain(value: float) -> int | float:
    """A whole number without its decimal point, as the format has it."""
    return int(value) if float(value).is_integer() else value


def requested(run: FinishedRun) -> dict[str, Value]:
    """What was asked for; a scenario's own settings only for that scenario."""
    settings = run.settings
    return {
        "scenario": SCENARIO_NAMES[settings.scenario],
        "test_mode": MODE_NAMES[settings.mode],
        **_of_scenario(settings),
        "min_duration_ms": plain(settings.min_duration_ms),
        "max_duration_ms": plain(settings.max_duration_ms or 0),
        "min_query_count": _least(settings),
        "max_query_count": settings.max_query_count or 0,
        **_sampling(settings),
        "performance_sample_count_override": 0,
        "accuracy_sample_count_override": 0,
        "sample_concatenate_permutation": settings.issue is Issue.EQUAL,
        **_of_tokens(settings),
    }


def effective(run: FinishedRun) -> dict[str, Value]:
    """What came of it once defaults and the scenario had their say."""
    settings = run.settings
    server = settings.scenario is Scenario.SERVER
    offline = settings.scenario is Scenario.OFFLINE
    per_query = offline_count(settings) if offline else settings.samples_per_query
    queries = 1 if offline else _issued_at_least(run)
    return {
        "scenario": SCENARIO_NAMES[settings.scenario],
        "test_mode": MODE_NAMES[settings.mode],
        "samples_per_query": per_query,
        "target_qps": plain(_rate(settings)),
        "target_latency_ns": _bound_ns(settings) if server else 0,
        "target_latency_percentile": _fraction(settings.percentile),
        "max_async_queries": 0 if server else 1,
        "target_duration_ms": 0 if offline else plain(settings.min_duration_ms),
        "min_duration_ms": plain(settings.min_duration_ms),
        "max_duration_ms": plain(settings.max_duration_ms or 0),
        "min_query_count": queries,
        "max_query_count": settings.max_query_count or 0,
        "min_sample_count": queries * per_query,
        **_sampling(settings),
        "performance_sample_count": run.performance_count,
        "accuracy_sample_count": run.total_count,
        "sample_concatenate_permutation": settings.issue is Issue.EQUAL,
    }


def _issued_at_least(run: FinishedRun) -> int:
    settings = run.settings
    closed = settings.scenario.closed_loop and settings.mode is Mode.PERFORMANCE
    if closed and settings.issue is Issue.EQUAL:
        return equal_count(settings, run.performance_count)
    return settings.min_query_count


def _of_scenario(settings: Settings) -> dict[str, Value]:
    kind = settings.scenario
    if kind is Scenario.OFFLINE:
        return {"offline_expected_qps": plain(settings.target_qps or 0)}
    if kind is Scenario.SERVER:
        return {
            "server_target_qps": plain(settings.target_qps or 0),
            "server_target_latency_ns": _bound_ns(settings),
            "server_target_latency_percentile": _fraction(settings.percentile),
            "server_coalesce_queries": False,
            "server_find_peak_qps_decimals_of_precision": 0,
            "server_find_peak_qps_boundary_step_size": 0,
            "server_max_async_queries": 0,
            "server_num_issue_query_threads": 0,
        }
    rate = _rate(settings)
    values: dict[str, Value] = {
        f"{kind}_expected_latency_ns": round(1e9 / rate) if rate else 0,
        f"{kind}_target_latency_percentile": _fraction(settings.percentile),
    }
    if kind is Scenario.MULTI_STREAM:
        values[f"{kind}_samples_per_query"] = settings.samples_per_query
    return values


def _sampling(settings: Settings) -> dict[str, Value]:
    return {
        "qsl_rng_seed": settings.qsl_seed,
        "sample_index_rng_seed": settings.sample_index_seed,
        "schedule_rng_seed": settings.schedule_seed,
        "accuracy_log_rng_seed": settings.accuracy_log_seed,
        "accuracy_log_probability": plain(settings.accuracy_log_probability),
        "accuracy_log_sampling_target": settings.accuracy_log_sampling_target,
        "print_timestamps": False,
        "performance_issue_unique": settings.issue is Issue.UNIQUE,
        "performance_issue_same": settings.issue is Issue.SAME,
        "performance_issue_same_index": settings.same_index,
    }


def token_bounds(settings: Settings) -> dict[str, int]:
    """Bounds in ns on the times to the first and per further token."""
    return {
        "ttft_latency": round((settings.ttft_bound_ms or 0) * 1e6),
        "tpot_latency": round((settings.tpot_bound_ms or 0) * 1e6),
    }


def _of_tokens(settings: Settings) -> dict[str, Value]:
    if not settings.use_token_latencies:
        return {}
    offline = settings.scenario is Scenario.OFFLINE
    bounds = {} if offline else token_bounds(settings)
    named = {f"server_{name}": value for name, value in bounds.items()}
    return {"use_token_latencies": True, **named}


def _rate(settings: Settings) -> float:
    return 1000 / settings.interval_ms if settings.interval_ms else settings.target_qps or 0


def _fraction(percent: float) -> float:
    return round(percent / 100, 12)


def _bound_ns(settings: Settings) -> int:
    return round((settings.bound_ms or 0) * 1e6)


def _least(settings: Settings) -> int:
    """In the format, Offline's least number of queries is one of samples."""
    if settings.scenario is Scenario.OFFLINE:
        return max(settings.min_query_count, settings.min_sample_count)
    return settings.min_query_count
