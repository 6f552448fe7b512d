"""Settings of a test and of its logs under their official names, units and defaults."""

from __future__ import annotations

import operator
from typing import Any

from loadgen.mlperf.enums import LoggingMode, TestMode, TestScenario

LARGEST = 2**64 - 1


class _Checked:
    """Attributes that are fixed by the class: a misspelt name or a wrong type is refused."""

    def __setattr__(self, name: str, value: Any) -> None:
        owner = type(self)
        if name.startswith("_") or not hasattr(owner, name):
            raise AttributeError(f"{owner.__name__} has no setting {name!r}")
        kind = type(getattr(owner, name))
        object.__setattr__(self, name, _converted(f"{owner.__name__}.{name}", value, kind))


def _converted(name: str, value: Any, kind: type) -> Any:
    if isinstance(value, kind) and kind is not int:
        return value
    if kind is bool and type(value).__name__ in ("bool_", "bool"):
        return bool(value)
    if kind is float and hasattr(type(value), "__float__"):
        return float(value)
    if kind is int and hasattr(type(value), "__index__"):
        if 0 <= (number := operator.index(value)) <= LARGEST:
            return number
        raise TypeError(f"{name}={value}: it must lie in 0 to 2**64 - 1")
    raise TypeError(f"{name}={value!r}: it must be of type {kind.__name__}")


class TestSettings(_Checked):
    """What a test is asked to do; 0 means no limit for ``max_*`` and no override for the rest.

    Units are those of the names; ``ttft_latency`` and ``tpot_latency`` are in ns, percentiles
    are fractions. ``sut_timeout_ms`` is ours: how long a system may be silent before a test ends.
    Raises AttributeError for an unknown name and TypeError for a value of another type.
    """

    __test__ = False

    scenario = TestScenario.SingleStream
    mode = TestMode.PerformanceOnly
    single_stream_expected_latency_ns = 1e6
    single_stream_target_latency_percentile = 0.9
    multi_stream_expected_latency_ns = 8e6
    multi_stream_target_latency_percentile = 0.99
    multi_stream_samples_per_query = 8
    server_target_qps = 1.0
    server_target_latency_ns = 100_000_000
    server_target_latency_percentile = 0.99
    server_coalesce_queries = False
    server_find_peak_qps_decimals_of_precision = 1
    server_find_peak_qps_boundary_step_size = 1.0
    server_max_async_queries = 0
    server_num_issue_query_threads = 0
    offline_expected_qps = 1.0
    sample_concatenate_permutation = False
    min_duration_ms = 10_000
    max_duration_ms = 0
    min_query_count = 100
    max_query_count = 0
    qsl_rng_seed = 0
    sample_index_rng_seed = 0
    schedule_rng_seed = 0
    accuracy_log_rng_seed = 0
    accuracy_log_probability = 0.0
    accuracy_log_sampling_target = 0
    test05 = False
    test05_qsl_rng_seed = 0
    test05_sample_index_rng_seed = 0
    test05_schedule_rng_seed = 0
    print_timestamps = False
    performance_issue_unique = False
    performance_issue_same = False
    performance_issue_same_index = 0
    performance_sample_count_override = 0
    accuracy_sample_count_override = 0
    use_token_latencies = False
    ttft_latency = 100_000_000
    tpot_latency = 100_000_000
    infer_token_latencies = False
    token_latency_scaling_factor = 0
    sut_timeout_ms = 60_000.0

    def FromConfig(self, path: str, model: str, scenario: str, conf_type: int = 1) -> int:
        """Read settings of ``model`` and ``scenario`` from a file of ``model.scenario.key = n``.

        ``conf_type``: 0 reads only the built-in rules, 1 those and then the file, 2 only the
        file. Returns 0, -2 without a readable file, -22 for a malformed line; what looks like a
        typing error is logged as a warning.
        """
        from loadgen.mlperf.conf import read

        return read(self, path, model, scenario, conf_type)


class LogOutputSettings(_Checked):
    """Where logs go."""

    outdir = "."
    prefix = "mlperf_log_"
    suffix = ""
    prefix_with_datetime = False
    copy_detail_to_stdout = False
    copy_summary_to_stdout = False


class LogSettings(_Checked):
    """How logs are written; ``log_mode`` and its interval change nothing (see LoggingMode)."""

    log_output = LogOutputSettings()
    log_mode = LoggingMode.AsyncPoll
    log_mode_async_poll_interval_ms = 1000
    enable_trace = True

    def __init__(self) -> None:
        self.log_output = LogOutputSettings()
