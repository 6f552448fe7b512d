"""The figures of tokens under the keys and labels of the log format."""

from __future__ import annotations

from collections.abc import Iterator

from loadgen.official.figures import Figures, whole_ns
from loadgen.official.run import FinishedRun
from loadgen.settings import Scenario
from loadgen.statistics import PERCENTILES

EXTREMES = ("min", "max", "mean")


def token_results(run: FinishedRun) -> dict[str, float]:
    """The detail log's results; times in ns. Empty without tokens, few for offline."""
    tokens = run.verdict.statistics.tokens
    if tokens is None or tokens.per_s is None:
        return {}
    if run.settings.scenario is Scenario.OFFLINE:
        return {"result_tokens_per_second": tokens.per_s}
    ttft_ns, tpot_ns = whole_ns(tokens.ttft_ms), whole_ns(tokens.tpot_ms)
    results: dict[str, float] = {}
    for name in EXTREMES:
        if name in ttft_ns:
            results[f"result_first_token_{name}_latency_ns"] = ttft_ns[name]
    for percent, value in _percentiles(ttft_ns):
        results[f"result_first_token_{percent:.2f}_percentile_latency_ns"] = value
    issuing, busy = _throughputs(run, tokens.count)
    results["result_token_throughput_with_loadgen_overhead"] = issuing
    results["result_token_throughput"] = busy
    for percent, value in _percentiles(tpot_ns):
        results[f"result_time_per_output_token_{percent:.2f}_percentile_ns"] = value
    for name in EXTREMES:
        if name in tpot_ns:
            results[f"result_time_to_output_token_{name}"] = tpot_ns[name]
    results["result_completed_tokens_per_second"] = tokens.per_s
    return results


def _throughputs(run: FinishedRun, tokens: int) -> tuple[float, float]:
    """Tokens per second until the last query was issued, and per nanosecond of latency.

    The second one's unit is the format's.
    """
    at_ns, latency_ns = run.log.takes.at_ns, int(run.log.sample_latency_ns.sum())
    issued_ns = int(at_ns[-1]) if len(at_ns) else 0
    issuing = tokens * 1e9 / issued_ns if issued_ns > 0 else 0.0
    return issuing, tokens / latency_ns if latency_ns > 0 else 0.0


def _percentiles(of: dict[str, int]) -> list[tuple[float, int]]:
    return [(p, of[f"p{p:g}"]) for p in PERCENTILES if f"p{p:g}" in of]


def token_metric(run: FinishedRun, figures: Figures) -> Iterator[str]:
    """The summary's line below the metric."""
    tokens, scenario = run.verdict.statistics.tokens, run.settings.scenario
    if tokens is None or tokens.per_s is None:
        return
    if scenario is Scenario.OFFLINE:
        yield f"Tokens per second: {tokens.per_s:.10g}"
    elif scenario is Scenario.SERVER:
        yield f"Completed tokens per second: {tokens.per_s:.2f}"
    elif (first_ns := figures.judged_first_token_ns) is not None:
        percent = run.settings.percentile
        yield f"{percent:.1f}th first token percentile latency (ns) : {first_ns}"


def token_lines(run: FinishedRun) -> Iterator[str]:
    """The summary's statistics of tokens."""
    tokens, scenario = run.verdict.statistics.tokens, run.settings.scenario
    if tokens is None or tokens.per_s is None or scenario is Scenario.OFFLINE:
        return
    yield ""
    if scenario is Scenario.SERVER:
        yield f"{'Completed tokens per second':<44}: {tokens.per_s:.2f}"
    elif scenario is Scenario.SINGLE_STREAM:
        issuing, busy = _throughputs(run, tokens.count)
        yield f"{'TPS w/ loadgen overhead':<32}: {issuing:.2f}"
        yield f"{'TPS w/o loadgen overhead':<32}: {busy * 1e9:.2f}"
    ttft_ns, tpot_ns = whole_ns(tokens.ttft_ms), whole_ns(tokens.tpot_ms)
    for name in EXTREMES:
        if name in ttft_ns:
            yield f"{f'{name.capitalize()} First Token latency (ns)':<44}: {ttft_ns[name]}"
    for percent, value in _percentiles(ttft_ns):
        yield f"{f'{percent:.2f} percentile first token latency (ns)':<44}: {value}"
    yield ""
    for name in EXTREMES:
        if name in tpot_ns:
            yield f"{f'{name.capitalize()} Time per Output Token (ns)':<46}: {tpot_ns[name]}"
    for percent, value in _percentiles(tpot_ns):
        yield f"{f'{percent:.2f} percentile time to output token (ns)':<45}: {value}"
