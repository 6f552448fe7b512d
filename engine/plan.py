"""From the config's rules and overrides to the settings of a run."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from engine.config import Config, ScenarioRules
from engine.errors import ConfigError
from engine.suts import PROCESSORS
from engine.truth import must_know_the_truth
from engine.validation import shipped_rules
from loadgen import Arrivals, Issue, Mode, Scenario, Settings

MOST_QUERIES = 500_000_000
# The traffic that every edition so far asks for.
USUAL = {"arrivals": "poisson", "issue": "random"}


def scenario_rules(config: Config) -> ScenarioRules:
    """What the rules ask of the chosen scenario and model; ConfigError if they do not have it."""
    name, rules, model = config.scenario.name, config.rules, config.model.name
    asked: ScenarioRules = getattr(rules.scenarios, name)
    if asked.percentile is None:
        raise ConfigError(f"rules={rules.name} has no scenario {name}: choose another edition.")
    if name not in (Scenario.SERVER, Scenario.MULTI_STREAM):
        return asked
    return replace(
        asked,
        percentile=rules.tail_percentiles.get(model, asked.percentile),
        min_query_count=rules.tail_query_counts.get(model, asked.min_query_count),
    )


def run_count(config: Config) -> int:
    """How many performance runs the rules ask for."""
    return config.rules.server_runs if config.scenario.name == Scenario.SERVER else 1


def interval_ms(config: Config) -> float | None:
    """The fixed time between queries: the user's, or in multi-stream the rules' for the model.

    Raises ConfigError where the rules have intervals, but none for this model.
    """
    own, intervals = config.scenario, config.rules.multi_stream_intervals_ms
    if own.interval_ms is not None or own.name != Scenario.MULTI_STREAM or not intervals:
        return own.interval_ms
    if config.model.name not in intervals:
        raise ConfigError(
            f"rules={config.rules.name} has no multi-stream interval for the model "
            f"{config.model.name} (it has: {', '.join(intervals)}): set "
            "scenario.interval_ms=MILLISECONDS."
        )
    return intervals[config.model.name]


def searches_streams(config: Config) -> bool:
    """Whether the number of streams is what is looked for."""
    wanted = config.search.kind == "max_streams" and config.scenario.samples_per_query is None
    multi_stream = config.scenario.name == Scenario.MULTI_STREAM
    return wanted and multi_stream and interval_ms(config) is not None


def bound_ms(config: Config) -> float | None:
    """The latency bound of the benchmark, None for scenarios without one.

    Raises ConfigError for a server benchmark whose bound neither the rules nor the user give.
    """
    if config.scenario.name != Scenario.SERVER or config.scenario.use_token_latencies:
        return None
    if config.scenario.bound_ms is not None:
        return config.scenario.bound_ms
    bounds = config.rules.server_bounds_ms
    if config.model.name not in bounds:
        known = ", ".join(bounds) or "none"
        raise ConfigError(
            f"rules={config.rules.name} has no server bound for the model {config.model.name} "
            f"(it has: {known}): set scenario.bound_ms=MILLISECONDS."
        )
    return bounds[config.model.name]


def check(config: Config) -> None:
    """Raise ConfigError for what can be refused before anything is built."""
    _check_tokens(config)
    must_know_the_truth(config)
    mode = Mode.ACCURACY if config.mode == "accuracy" else Mode.PERFORMANCE
    full = full_settings(config, config.scenario.target_qps or 1.0, mode)
    rate, searched = config.scenario.target_qps, config.search.kind != "none"
    rate_missing = rate is None and not searched and config.scenario.trace is None
    if searched and config.scenario.trace is not None:
        raise ConfigError(
            "scenario.trace gives the arrivals, so there is no rate to search: set search=none."
        )
    if config.scenario.name == Scenario.SERVER and searched and rate is not None:
        raise ConfigError(
            f"scenario.target_qps={rate:g} is for one run at that rate, but search="
            f"{config.search.kind} finds the rate itself: set search=none, or leave the rate out."
        )
    if config.search.tune.enabled and not (config.scenario.name == Scenario.SERVER and searched):
        raise ConfigError(
            "search.tune looks for the settings with the highest server rate: it needs "
            "scenario=server and search=max_qps."
        )
    seconds = (full.max_duration_ms or full.min_duration_ms) / 1000
    if rate is not None and rate * seconds > MOST_QUERIES:
        raise ConfigError(
            f"scenario.target_qps={rate:g} for {seconds:g} s makes more than {MOST_QUERIES:,} "
            "queries, which do not fit into memory: lower the rate or scenario.min_duration_s."
        )
    timed = config.scenario.timed_preprocessing
    # Their workers read a sample where it was loaded, and so can preprocess it when taken.
    if timed and (config.sut.kind not in PROCESSORS or config.model.task == "translation"):
        raise ConfigError(
            f"scenario.timed_preprocessing is for images on sut={' or sut='.join(PROCESSORS)}, not "
            f"for model={config.model.name} on sut={config.sut.name}: leave it out."
        )
    p = config.model.preprocessing
    if p.resize < p.size:
        raise ConfigError(
            f"model.preprocessing.resize={p.resize} is smaller than the crop of "
            f"model.preprocessing.size={p.size}: it must be at least as large."
        )
    if config.scenario.name == Scenario.SERVER and rate_missing and config.mode != "accuracy":
        raise ConfigError(
            "scenario=server without a search needs a rate: set scenario.target_qps=QPS, or "
            "search=max_qps to find the highest valid one."
        )


def _check_tokens(config: Config) -> None:
    if not config.scenario.use_token_latencies:
        return
    if getattr(config.sut, "answer_tokens", None) is None:
        raise ConfigError(
            f"scenario.use_token_latencies: sut={config.sut.name} gives no tokens. Choose "
            "sut=simulated or sut=null with sut.answer_tokens=[NUMBER,...]."
        )
    if config.mode != "performance" or config.search.tune.enabled:
        raise ConfigError(
            "scenario.use_token_latencies is for mode=performance without search.tune: what else "
            "there is looks at the latency of whole answers."
        )


def performance_sample_count(config: Config) -> int | None:
    """Samples that a performance run loads: the user's number, or else the rules' (if any)."""
    counts = config.rules.performance_sample_counts
    return config.dataset.performance_sample_count or counts.get(config.model.name)


def published_target(config: Config) -> float | None:
    """Quality in percent that the rules ask of trained weights on real data, where they say it."""
    return config.rules.published_targets.get(config.model.name)


def quality_ratio(config: Config) -> float:
    """The quality asked for, as a share of FP32's (Table I of the paper)."""
    return config.rules.quality_ratios.get(config.model.name, config.rules.quality_ratio)


def full_settings(
    config: Config, target_qps: float | None, mode: Mode = Mode.PERFORMANCE
) -> Settings:
    """The settings of a run under the full rules; ``target_qps`` as in Settings."""
    asked, rules, own = scenario_rules(config), config.rules, config.scenario
    min_duration_s = rules.min_duration_s if own.min_duration_s is None else own.min_duration_s
    min_query_count = own.min_query_count or asked.min_query_count
    issue, extend, max_duration_s = Issue(own.issue), False, own.max_duration_s
    if own.name != Scenario.OFFLINE:  # one query, which no rule ends
        max_duration_s = max_duration_s or rules.max_duration_s
    if mode is Mode.ACCURACY and issue is Issue.SAME:
        issue = Issue.RANDOM
    if own.name == Scenario.SERVER and mode is Mode.PERFORMANCE and max_duration_s is None:
        planned_s = max(min_duration_s, min_query_count / (target_qps or 1.0))
        lasting = issue in (Issue.RANDOM, Issue.SAME)
        extend = rules.early_stopping and rules.extend > 1 and lasting
        max_duration_s = rules.extend * planned_s if extend else None
    assert asked.percentile is not None
    trace_ns = _trace_ns(config)
    if trace_ns is not None:
        target_qps = len(trace_ns) / max(trace_ns[-1] / 1e9, 1e-9)
    try:
        return Settings(
            scenario=Scenario(own.name),
            mode=mode,
            target_qps=target_qps,
            samples_per_query=own.samples_per_query or asked.samples_per_query or 1,
            percentile=asked.percentile,
            bound_ms=bound_ms(config) if mode is Mode.PERFORMANCE else None,
            min_duration_ms=min_duration_s * 1000,
            max_duration_ms=None if max_duration_s is None else max_duration_s * 1000,
            min_query_count=min_query_count,
            min_sample_count=asked.min_sample_count,
            confidence=rules.confidence if rules.early_stopping else None,
            extend=extend,
            sut_timeout_ms=own.sut_timeout_s * 1000,
            late_ms=rules.late_wakeup_ms,
            max_late_share=rules.late_wakeup_share,
            qsl_seed=rules.seeds.qsl,
            sample_index_seed=rules.seeds.sample_index,
            schedule_seed=rules.seeds.schedule,
            warmup_ms=own.warmup_s * 1000 if mode is Mode.PERFORMANCE else 0.0,
            arrivals=Arrivals(own.arrivals),
            burst_size=own.burst_size,
            trace_ns=trace_ns,
            interval_ms=interval_ms(config),
            issue=issue,
            same_index=own.same_index if issue is Issue(own.issue) else 0,
            traffic=own.traffic or rules.traffic,
            spin_us=own.spin_us,
            use_token_latencies=own.use_token_latencies,
            ttft_bound_ms=own.ttft_bound_ms,
            tpot_bound_ms=own.tpot_bound_ms,
        )
    except ValueError as error:
        raise ConfigError(f"scenario={own.name} with rules={rules.name}: {error}.") from error


def _trace_ns(config: Config) -> tuple[int, ...] | None:
    """The arrival times that the user gives; ConfigError for a file that holds none."""
    own = config.scenario
    if own.trace is None:
        return None
    try:
        times = np.load(Path(own.trace).expanduser(), allow_pickle=False)
    except OSError as error:
        raise ConfigError(f"scenario.trace={own.trace}: {error.strerror or error}.") from error
    except (ValueError, EOFError) as error:
        raise ConfigError(f"scenario.trace={own.trace} is no array file: {error}.") from error
    if not isinstance(times, np.ndarray) or times.ndim != 1 or times.dtype != np.int64:
        raise ConfigError(
            f"scenario.trace={own.trace} must hold one array of int64 nanoseconds, [queries]."
        )
    return tuple(times.tolist())


def accuracy_settings(config: Config, target_qps: float | None) -> Settings:
    """The settings of an accuracy run: every sample once, in the scenario's traffic."""
    return full_settings(config, target_qps, Mode.ACCURACY)


def deviations(
    config: Config, *, synthetic_data: bool, reference_weights: bool, variant: str = ""
) -> list[str]:
    """Why a result of this config does not conform to the rules; empty if nothing stands out."""
    rules, own, asked = config.rules, config.scenario, scenario_rules(config)
    found = []
    if rules.conformant:
        edition = asdict(shipped_rules(rules.name) or rules)
        changed = [name for name, value in asdict(rules).items() if value != edition[name]]
        found += [f"rules.{name} is not what the edition says" for name in changed]
    else:
        found.append(f"rules={rules.name} is not an edition of the rules")
    if own.min_duration_s is not None and own.min_duration_s < rules.min_duration_s:
        found.append(f"scenario.min_duration_s={own.min_duration_s:g} is below the rules'")
    if own.min_query_count is not None and own.min_query_count < asked.min_query_count:
        found.append(f"scenario.min_query_count={own.min_query_count} is below the rules'")
    measured = asked.samples_per_query is None
    if not measured and own.samples_per_query not in (None, asked.samples_per_query):
        found.append(f"scenario.samples_per_query={own.samples_per_query} is not the rules'")
    usual = {
        **USUAL,
        "traffic": own.traffic and rules.traffic,
        "interval_ms": own.interval_ms and rules.multi_stream_intervals_ms.get(config.model.name),
    }
    for name, expected in usual.items():
        if (value := getattr(own, name)) != expected:
            found.append(f"scenario.{name}={value} is not the rules' traffic")
    for name in ("bound_ms", "ttft_bound_ms", "tpot_bound_ms"):
        if (bound := getattr(own, name)) is not None:
            found.append(f"scenario.{name}={bound:g} was set by hand")
    count, loaded = rules.performance_sample_counts.get(config.model.name), config.dataset
    if count is not None and (loaded.performance_sample_count or count) < count:
        found.append(f"dataset.performance_sample_count is below the rules' {count}")
    if variant:
        found.append(f"the network is not the reference one ({variant})")
    if config.sut.kind == "simulated":
        found.append("the system is simulated")
    if synthetic_data:
        found.append("the data is synthetic")
    if not reference_weights:
        found.append("the weights are not those of the reference model")
    return found
