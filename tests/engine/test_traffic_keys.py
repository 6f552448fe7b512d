"""The keys of a scenario's traffic, from the command line to the record."""

import numpy as np
import pytest


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "trace.npy"
    np.save(path, np.arange(700, dtype=np.int64) * 2_000_000)
    return path


def test_a_trace_is_replayed_to_the_nanosecond(engine, trace):
    ended = engine(
        "sut=simulated",
        "search=none",
        "scenario.arrivals=trace",
        f"scenario.trace={trace}",
        "scenario.min_duration_s=1",
    )
    assert ended.code == 0, ended.out + ended.err
    (file,) = ended.folder.glob("runs/**/run_log.npz")
    with np.load(file, allow_pickle=False) as log:
        np.testing.assert_array_equal(log["scheduled_ns"], np.load(trace))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"text", "is no array file"),
        (np.zeros((2, 2), np.int64), "one array of int64 nanoseconds"),
        (np.arange(3.0), "one array of int64 nanoseconds"),
        (np.array([5, 1]), "times must ascend"),
    ],
)
def test_what_is_no_trace_is_refused(engine, tmp_path, content, words):
    path = tmp_path / "bad.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    ended = engine(
        "sut=simulated", "search=none", "scenario.arrivals=trace", f"scenario.trace={path}"
    )
    assert ended.code == 3
    assert words in ended.err
    assert ended.err.count("\n") == 1


def test_a_trace_leaves_no_rate_to_search(engine, trace):
    ended = engine("sut=simulated", "scenario.arrivals=trace", f"scenario.trace={trace}")
    assert ended.code == 3
    assert "search=none" in ended.err


def test_an_interval_skips_ticks_and_the_metric_is_streams(engine):
    ended = engine(
        "sut=simulated",
        "scenario=multi_stream",
        "scenario.interval_ms=50",
        "sut.service_ms=[5]",
        "scenario.min_query_count=60",
        "scenario.min_duration_s=3",
    )
    assert ended.code == 0, ended.out + ended.err
    assert ended.record["performance"]["metric"]["name"] == "streams"


def test_the_peak_of_a_simulated_system_is_that_of_theory(engine):
    """M/D/1 with 1 ms and a bound of 10 ms: 1 % are late at 0.78 of the capacity."""
    quickly = ("tracking=none",)
    ended = engine(
        "sut=simulated", "rules.min_duration_s=300", "scenario.bound_ms=10", quickly=quickly
    )
    assert ended.code == 0, ended.out + ended.err
    assert ended.record["search"]["best_qps"] == pytest.approx(775, rel=0.04)
    assert "the system is simulated" in ended.out
