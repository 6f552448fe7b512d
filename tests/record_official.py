"""Record what the official LoadGen does, for the tests to compare with.

    pip install mlcommons_loadgen && python tests/record_official.py

writes the issue orders and the multi-stream run with tokens that are listed here; the recordings
beside them were made alike.
"""

import json
import re
import tempfile
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / "data"
SEEDS = {
    "qsl_rng_seed": 2085463073848966840,
    "sample_index_rng_seed": 2747215439041700203,
    "schedule_rng_seed": 16159082839903944936,
}
# Scenario, mode, way of issue, samples in all and loaded, least count, duration in ms.
TRAFFIC = {
    "srv_equal": ("Server", "PerformanceOnly", "equal", 200, 64, 300, 200),
    "srv_equal_again": ("Server", "PerformanceOnly", "equal", 100, 30, 50, 200),
    "ss_equal": ("SingleStream", "PerformanceOnly", "equal", 100, 30, 50, 100),
    "off_equal": ("Offline", "PerformanceOnly", "equal", 200, 64, 300, 200),
    "srv_acc_equal": ("Server", "AccuracyOnly", "equal", 100, 60, 1, 10),
    "off_acc_equal": ("Offline", "AccuracyOnly", "equal", 100, 60, 1, 10),
    "ss_acc_unique": ("SingleStream", "AccuracyOnly", "unique", 100, 60, 1, 10),
}
QPS = 1000.0
HOW = "Recorded with mlcommons_loadgen 6.0.17 by tests/record_official.py, from trace and detail."


def run(scenario, mode, total, loaded, answer, **fields):
    """Run a test: its log files by name, and the sets that were loaded."""
    import mlperf_loadgen as lg

    settings, loads = lg.TestSettings(), []
    settings.scenario = getattr(lg.TestScenario, scenario)
    settings.mode = getattr(lg.TestMode, mode)
    for name, value in fields.items():
        setattr(settings, name, value)
    sut = lg.ConstructSUT(lambda samples: answer(lg, samples), lambda: None)
    library = lg.ConstructQSL(total, loaded, lambda part: loads.append(list(part)), lambda part: 0)
    with tempfile.TemporaryDirectory() as folder:
        logs = lg.LogSettings()
        output = lg.LogOutputSettings()
        output.outdir, logs.log_output, logs.enable_trace = folder, output, True
        lg.StartTestWithLogSettings(sut, library, settings, logs, "")
        return {file.name[11:]: file.read_text() for file in Path(folder).iterdir()}, loads


def facts(text):
    """Key -> values of a detail log."""
    found = {}
    for line in text.splitlines():
        fact = json.loads(line.removeprefix(":::MLLOG "))
        found.setdefault(fact["key"], []).append(fact["value"])
    return found


def times(trace, what):
    """int64[k, 2]: when each sample's ``what`` began and ended, in ns after the first began."""
    began = re.findall(rf'"{what}",.*"b",.*"ts":([\d.]+),.*"complete_ns":(\d+)', trace)
    rows = np.array([(round(float(at) * 1000), int(took)) for at, took in began])
    return np.stack([rows[:, 0], rows.sum(axis=1)], axis=1) - rows[0, 0]


def traffic(scenario, mode, issue, total, loaded, count, duration_ms):
    """What was issued, in the form of the other recordings of traffic."""
    table, queries = np.zeros(1, np.uint8), []

    def answer(lg, samples):
        queries.append([sample.index for sample in samples])
        responses = [lg.QuerySampleResponse(s.id, table.ctypes.data, 1) for s in samples]
        lg.QuerySamplesComplete(responses)

    way = {"equal": "sample_concatenate_permutation", "unique": "performance_issue_unique"}[issue]
    rates = {
        "server_target_qps": QPS,
        "offline_expected_qps": QPS,
        "single_stream_expected_latency_ns": 1e9 / QPS,
    }
    asked = {"min_query_count": count, "min_duration_ms": duration_ms, way: True}
    files, loads = run(scenario, mode, total, loaded, answer, **asked, **rates, **SEEDS)
    timed = scenario == "Server" and mode == "PerformanceOnly"
    at_ns = times(files["trace.json"], "Sample")[:, 0].tolist() if timed else None
    return {
        "args": {
            "scenario": scenario,
            "mode": mode,
            "qsl_size": total,
            "perf_count": loaded,
            "target_qps": QPS,
            "min_query_count": count,
            "min_duration_ms": duration_ms,
            "samples_per_query": 1,
            "qsl_seed": SEEDS["qsl_rng_seed"],
            "sample_seed": SEEDS["sample_index_rng_seed"],
            "schedule_seed": SEEDS["schedule_rng_seed"],
            issue: True,
        },
        "loaded_set_lengths": [len(part) for part in loads],
        "loaded_set_starts": [part[:40] for part in loads],
        "query_count": len(queries),
        "queries": [query[:60] for query in queries[:150]],
        "sched_ns": at_ns and at_ns[:150],
        "last_sched_ns": at_ns and at_ns[-1],
        "last_query": queries[-1][-60:],
    }


def multi_stream_with_tokens():
    """The times of a run of two samples to a query, and the results for them."""
    table = np.arange(100, dtype=np.int64)
    tokens = []

    def answer(lg, samples):
        address = table.ctypes.data
        lg.FirstTokenComplete([lg.QuerySampleResponse(s.id, address, 4, 0) for s in samples[:1]])
        lg.FirstTokenComplete([lg.QuerySampleResponse(s.id, address, 4, 0) for s in samples[1:]])
        tokens.extend(2 + sample.index % 5 for sample in samples)
        for s in samples:
            lg.QuerySamplesComplete(
                [lg.QuerySampleResponse(s.id, address + 8 * s.index, 8, 2 + s.index % 5)]
            )

    asked = {"min_query_count": 700, "min_duration_ms": 20, "use_token_latencies": True}
    official = {"multi_stream_samples_per_query": 2, "multi_stream_expected_latency_ns": 1e6}
    files, _ = run("MultiStream", "PerformanceOnly", 50, 16, answer, **asked, **official)
    whole, first = (times(files["trace.json"], name) for name in ("Sample", "Token"))
    found = facts(files["detail.txt"])
    results = {
        key: values[0]
        for key, values in found.items()
        if key.startswith(("result_", "early_stopping")) and type(values[0]) is not str
    }
    return {
        "settings": {
            "scenario": "multi_stream",
            "samples_per_query": 2,
            "percentile": 99.0,
            "target_qps": QPS,
            **asked,
        },
        "scheduled_ns": whole[::2, 0].tolist(),
        "completed_ns": whole[:, 1].tolist(),
        "taken_ns": whole[::2, 0].tolist(),
        "first_token_ns": first[:, 1].tolist(),
        "token_count": tokens,
        "results": results,
    }


def main():
    """Write them."""
    for name, case in TRAFFIC.items():
        (DATA / "traffic" / f"{name}.json").write_text(json.dumps(traffic(*case)) + "\n")
    timed = {"how": HOW, "timed": {"token_multi": multi_stream_with_tokens()}}
    (DATA / "official" / "tokens_multi.json").write_text(json.dumps(timed) + "\n")


if __name__ == "__main__":
    main()
