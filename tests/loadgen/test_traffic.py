"""Traffic against vectors recorded from the official LoadGen, and its own laws."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from loadgen import Mode, Scenario, Settings
from loadgen._traffic import generate, loaded_sets

GOLDEN = sorted((Path(__file__).parents[1] / "data" / "traffic").glob("*.json"))
NAMES = {
    "SingleStream": Scenario.SINGLE_STREAM,
    "MultiStream": Scenario.MULTI_STREAM,
    "Server": Scenario.SERVER,
    "Offline": Scenario.OFFLINE,
}


def settings_of(args):
    scenario = NAMES[args["scenario"]]
    return Settings(
        scenario=scenario,
        mode=Mode.ACCURACY if args["mode"] == "AccuracyOnly" else Mode.PERFORMANCE,
        target_qps=args["target_qps"],
        samples_per_query=args["samples_per_query"] if scenario is Scenario.MULTI_STREAM else 1,
        min_query_count=args["min_query_count"],
        min_duration_ms=args["min_duration_ms"],
        bound_ms=100,
        qsl_seed=args["qsl_seed"],
        sample_index_seed=args["sample_seed"],
        schedule_seed=args["schedule_seed"],
    )


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_traffic_is_bit_identical_to_the_recorded_one(file):
    golden = json.loads(file.read_text())
    args = golden["args"]
    settings = settings_of(args)
    sets = loaded_sets(settings, args["qsl_size"], args["perf_count"])
    assert [len(part) for part in sets] == golden["loaded_set_lengths"]
    assert [part[:40].tolist() for part in sets] == golden["loaded_set_starts"]
    parts = [generate(settings, part, golden["query_count"]) for part in sets]
    queries = [
        query for part in parts for query in part.sample_index.reshape(-1, part.samples_per_query)
    ]
    assert len(queries) == golden["query_count"]
    assert [query[:60].tolist() for query in queries[:150]] == golden["queries"]
    assert queries[-1][-60:].tolist() == golden["last_query"]
    if golden["sched_ns"] is not None:
        assert parts[0].scheduled_ns[:150].tolist() == golden["sched_ns"]
    if golden["last_sched_ns"] is not None:
        assert parts[0].scheduled_ns[-1] == golden["last_sched_ns"]


@given(
    rate=st.floats(1, 1e5),
    duration_ms=st.floats(0, 200),
    least=st.integers(1, 500),
    seed=st.integers(0, 2**64 - 1),
)
def test_poisson_arrivals_last_as_long_and_are_as_many_as_asked(rate, duration_ms, least, seed):
    settings = Settings(
        scenario=Scenario.SERVER,
        target_qps=rate,
        bound_ms=1,
        min_duration_ms=duration_ms,
        min_query_count=least,
        schedule_seed=seed,
    )
    times = generate(settings, np.arange(8)).scheduled_ns
    assert times[0] == 0
    assert (np.diff(times) >= 0).all()
    assert len(times) >= least
    # It ends with the first arrival that fulfils both.
    assert len(times) == least or times[-2] < duration_ms * 1e6 <= times[-1] + 1


def test_intervals_are_exponential():
    from scipy.stats import kstest

    settings = Settings(
        scenario=Scenario.SERVER, target_qps=1000, bound_ms=1, min_query_count=50_000
    )
    intervals_s = np.diff(generate(settings, np.arange(8)).scheduled_ns) / 1e9
    assert kstest(intervals_s, "expon", args=(0, 1e-3)).pvalue > 0.001


@hypothesis_settings(max_examples=30)
@given(st.integers(1, 200), st.integers(1, 200), st.sampled_from(list(Scenario)))
def test_an_accuracy_run_covers_every_sample(total, performance, scenario):
    settings = Settings(
        scenario=scenario,
        mode=Mode.ACCURACY,
        target_qps=100,
        samples_per_query=8 if scenario is Scenario.MULTI_STREAM else 1,
    )
    sets = loaded_sets(settings, total, performance)
    issued = np.concatenate([generate(settings, part).sample_index for part in sets])
    assert set(issued.tolist()) == set(range(total))
    if scenario is not Scenario.MULTI_STREAM:
        assert len(issued) == total


def test_a_closed_loop_lengthens_into_the_same_sequence():
    settings = Settings(scenario=Scenario.SINGLE_STREAM, min_query_count=10)
    short, long = generate(settings, np.arange(50), 10), generate(settings, np.arange(50), 40)
    short.more(30)
    assert np.array_equal(short.sample_index, long.sample_index)


def test_a_fixed_traffic_cannot_be_lengthened():
    settings = Settings(scenario=Scenario.OFFLINE, target_qps=10)
    with pytest.raises(ValueError, match="fixed length"):
        generate(settings, np.arange(4)).more(1)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"target_qps": None}, "target_qps"),
        ({"target_qps": float("nan")}, "target_qps"),
        ({"bound_ms": None}, "bound_ms"),
        ({"percentile": 100}, "percentile"),
        ({"max_duration_ms": 5}, "max_duration_ms"),
        ({"min_query_count": 10, "max_query_count": 5}, "max_query_count"),
        ({"samples_per_query": 2}, "samples_per_query"),
        ({"sut_timeout_ms": 0}, "sut_timeout_ms"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, word):
    base = {"scenario": Scenario.SERVER, "target_qps": 10.0, "bound_ms": 10.0}
    with pytest.raises(ValueError, match=word):
        Settings(**{**base, **changes})
