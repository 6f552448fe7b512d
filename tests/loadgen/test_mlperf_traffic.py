"""Traffic through the official interface against recordings of the official LoadGen."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from loadgen import mlperf

GOLDEN = sorted((Path(__file__).parents[1] / "data" / "traffic").glob("*.json"))


def flat(queries):
    return [index for query in queries for index in query]


def changes_of(golden):
    args = golden["args"]
    # A closed loop answers at once, so its length is set by the count that was recorded.
    closed = args["scenario"] in ("SingleStream", "MultiStream")
    return {
        "server_target_qps": args["target_qps"],
        "offline_expected_qps": args["target_qps"],
        "min_duration_ms": 0 if closed and "equal" not in args else args["min_duration_ms"],
        "min_query_count": args["min_query_count"],
        "multi_stream_samples_per_query": args["samples_per_query"],
        "qsl_rng_seed": args["qsl_seed"],
        "sample_index_rng_seed": args["sample_seed"],
        "schedule_rng_seed": args["schedule_seed"],
        "performance_issue_unique": args.get("unique", False),
        "performance_issue_same": args.get("same", False),
        "sample_concatenate_permutation": args.get("equal", False),
        "performance_issue_same_index": args.get("same_index", 0),
        "accuracy_log_probability": args.get("acc_prob", 0.0),
        "accuracy_log_rng_seed": args.get("acc_seed", 0),
    }


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_samples_and_times_are_the_recorded_ones(file, harness):
    golden = json.loads(file.read_text())
    args = golden["args"]
    program = harness(total=args["qsl_size"], performance=args["perf_count"])
    (outcome,) = program.run(args["scenario"], args["mode"], **changes_of(golden))
    loads = [call[1] for call in program.calls if call[0] == "load"]
    assert [len(part) for part in loads] == golden["loaded_set_lengths"]
    assert [part[:40] for part in loads] == golden["loaded_set_starts"]
    assert loads == [call[1] for call in program.calls if call[0] == "unload"]
    assert len(program.issued) == golden["query_count"]
    assert [query[:60] for query in program.issued[:150]] == golden["queries"]
    assert program.issued[-1][-60:] == golden["last_query"]
    if golden["sched_ns"] is not None:
        assert outcome.log.scheduled_ns[:150].tolist() == golden["sched_ns"]
    if golden["last_sched_ns"] is not None:
        assert outcome.log.scheduled_ns[-1] == golden["last_sched_ns"]
    kept = [i for i, r in enumerate(outcome.log.responses or []) if r is not None]
    if "logged" in golden:
        assert kept == golden["logged"]
    for place in kept:
        assert outcome.log.responses[place].view(np.int32) == outcome.log.sample_index[place]


def test_coalesced_queries_are_those_that_were_due(harness):
    def slow(samples):
        time.sleep(0.01)
        program.respond(samples)

    program = harness(answer=slow)
    (outcome,) = program.run("Server", server_coalesce_queries=True)
    apart = harness()
    apart.run("Server")
    sizes = [len(query) for query in program.issued]
    assert max(sizes) > 5
    assert flat(program.issued) == flat(apart.issued)
    assert outcome.log.batch_sizes.tolist() == sizes


def test_sample_counts_may_be_overridden(harness, caplog):
    caplog.set_level("INFO")
    program = harness(total=100, performance=10)
    program.run("Offline", performance_sample_count_override=20)
    assert sorted(program.calls[0][1]) == list(range(20))
    program = harness(total=100, performance=10)
    program.run("Offline", "AccuracyOnly", accuracy_sample_count_override=25)
    assert sorted(flat(program.issued)) == list(range(25))
    program = harness(total=8, performance=8)
    program.run("Offline", performance_sample_count_override=20)
    assert sorted(program.calls[0][1]) == list(range(8))
    assert "there are only 8 samples" in caplog.text


def test_test05_has_seeds_of_its_own(harness):
    other = {f"test05_{name}_rng_seed": 7 for name in ("qsl", "sample_index", "schedule")}
    seeds = {f"{name}_rng_seed": 7 for name in ("qsl", "sample_index", "schedule")}
    first, second = harness(), harness()
    first.run("Server", "AccuracyOnly", test05=True, **other)
    second.run("Server", **seeds)
    assert first.issued == second.issued


def test_an_audit_config_in_the_folder_is_applied(harness, monkeypatch, tmp_path):
    (tmp_path / "audit.config").write_text("*.*.performance_issue_same = 1\n*.*.mode = 2\n")
    monkeypatch.chdir(tmp_path)
    program = harness()
    settings = program.settings("Server", "AccuracyOnly")
    sut = mlperf.ConstructSUT(program.issue, lambda: None)
    qsl = mlperf.ConstructQSL(64, 64, lambda indices: None, lambda indices: None)
    mlperf.StartTest(sut, qsl, settings)
    assert len(program.issued) >= 50
    assert len({query[0] for query in program.issued}) == 1
    assert settings.mode is mlperf.TestMode.AccuracyOnly
