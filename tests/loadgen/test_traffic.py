"""Traffic against vectors recorded from the official LoadGen, and its own laws."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from loadgen import Arrivals, Issue, Mode, Scenario, Settings
from loadgen._traffic import generate, loaded_sets, logged

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
        bound_ms=100 if scenario is Scenario.SERVER else None,
        qsl_seed=args["qsl_seed"],
        sample_index_seed=args["sample_seed"],
        schedule_seed=args["schedule_seed"],
        issue=issue_of(args),
        same_index=args.get("same_index", 0),
        accuracy_log_probability=args.get("acc_prob", 0.0),
        accuracy_log_seed=args.get("acc_seed", 0),
    )


def issue_of(args):
    chosen = [issue for issue in Issue if args.get(str(issue))]
    return chosen[0] if chosen else Issue.RANDOM


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
    if "logged" in golden:
        assert np.flatnonzero(logged(settings, len(queries))).tolist() == golden["logged"]
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


SHARED = Path(__file__).parents[3] / "shared" / "data" / "traffic"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the whole recordings are kept beside the project")
@pytest.mark.parametrize("file", sorted(SHARED.glob("*.json")), ids=lambda file: file.stem)
def test_traffic_is_that_of_the_whole_recording(file):
    golden = json.loads(file.read_text())
    args = golden["args"]
    settings = settings_of(args)
    sets = loaded_sets(settings, args["qsl_size"], args["perf_count"])
    assert [part.tolist() for part in sets] == golden["loaded_sets"]
    parts = [generate(settings, part, len(golden["queries"])) for part in sets]
    queries = [q for part in parts for q in part.sample_index.reshape(-1, part.samples_per_query)]
    assert [query.tolist() for query in queries] == golden["queries"]
    samples = np.concatenate(queries)
    kept = np.flatnonzero(logged(settings, len(samples)))
    assert [[int(i), int(samples[i])] for i in kept] == golden["acc_logged"]
    if args["scenario"] == "Server":
        # Each set starts its schedule anew, at a time that the recording did not choose.
        edges = np.cumsum([0, *(len(part.scheduled_ns) for part in parts)])
        for part, first, last in zip(parts, edges, edges[1:], strict=False):
            recorded = np.array(golden["sched_ns"][first:last])
            assert np.array_equal(recorded - recorded[0], part.scheduled_ns)


@pytest.mark.parametrize("scenario", [Scenario.SERVER, Scenario.SINGLE_STREAM, Scenario.OFFLINE])
def test_equal_issue_asks_for_every_sample_equally_often(scenario):
    settings = Settings(
        scenario=scenario,
        issue=Issue.EQUAL,
        target_qps=50,
        bound_ms=1 if scenario is Scenario.SERVER else None,
        min_query_count=300,
        min_duration_ms=1000,
    )
    index = generate(settings, np.arange(64)).sample_index
    counts = np.bincount(index)
    assert len(index) >= 300
    assert set(counts) == {len(index) // 64}
    assert len(index) % 64 == 0


@pytest.mark.parametrize("issue", [Issue.UNIQUE, Issue.EQUAL])
def test_a_fixed_order_ends_with_the_longest_duration_and_the_largest_count(issue):
    asked = {"scenario": Scenario.SERVER, "issue": issue, "target_qps": 100, "bound_ms": 1}
    asked |= {"min_query_count": 10, "min_duration_ms": 100}
    whole = generate(Settings(**asked), np.arange(64))
    few = generate(Settings(**asked, max_query_count=20), np.arange(64))
    short = generate(Settings(**asked, max_duration_ms=200), np.arange(64))
    for cut in (few, short):
        length = len(cut.scheduled_ns)
        assert length == len(cut.sample_index) < len(whole.sample_index)
        assert np.array_equal(cut.sample_index, whole.sample_index[:length])
        assert np.array_equal(cut.scheduled_ns, whole.scheduled_ns[:length])
    assert len(few.scheduled_ns) == 20
    assert short.scheduled_ns[-2] < 200_000_000 <= short.scheduled_ns[-1]


def test_the_v5_rule_loads_any_samples_and_the_v6_rule_the_first():
    asked = {"scenario": Scenario.OFFLINE, "target_qps": 1, "qsl_seed": 7}
    (older,) = loaded_sets(Settings(**asked, traffic="v5"), 1000, 100)
    (newer,) = loaded_sets(Settings(**asked, traffic="v6"), 1000, 100)
    assert len(set(older)) == 100
    assert older.max() > 100
    assert sorted(newer) == list(range(100))


def test_a_sampling_target_keeps_about_so_many_responses():
    settings = Settings(
        scenario=Scenario.SERVER,
        target_qps=10_000,
        bound_ms=1,
        min_query_count=100_000,
        accuracy_log_sampling_target=4096,
    )
    assert 3800 < logged(settings, 100_000).sum() < 4400


def test_the_log_seed_chooses_other_responses():
    asked = {"scenario": Scenario.OFFLINE, "target_qps": 1, "accuracy_log_probability": 0.1}
    one, other = (logged(Settings(**asked, accuracy_log_seed=n), 10_000) for n in (1, 2))
    assert 900 < one.sum() < 1100
    assert (one != other).any()


def test_a_sample_outside_the_loaded_set_is_refused():
    settings = Settings(scenario=Scenario.SINGLE_STREAM, issue=Issue.SAME, same_index=9)
    with pytest.raises(ValueError, match="same_index=9 lies outside"):
        generate(settings, np.arange(9))


def test_a_closed_loop_lengthens_into_the_same_sequence():
    settings = Settings(scenario=Scenario.SINGLE_STREAM, min_query_count=10)
    short, long = generate(settings, np.arange(50), 10), generate(settings, np.arange(50), 40)
    short.more(30)
    assert np.array_equal(short.sample_index, long.sample_index)


def test_a_fixed_traffic_cannot_be_lengthened():
    settings = Settings(scenario=Scenario.OFFLINE, target_qps=10)
    with pytest.raises(ValueError, match="fixed length"):
        generate(settings, np.arange(4)).more(1)


OFFLINE = {"scenario": Scenario.OFFLINE, "bound_ms": None}
CLOSED = {"scenario": Scenario.MULTI_STREAM, "bound_ms": None}


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
        ({"min_duration_ms": 1e300}, "min_duration_ms"),
        ({"target_qps": 1e-9}, "take years"),
        ({"burst_size": 2}, "burst_size=2 goes with arrivals=burst"),
        ({"same_index": 2}, "same_index=2 goes with issue=same"),
        ({"issue": Issue.SAME, "mode": Mode.ACCURACY}, "each sample once"),
        ({"issue": Issue.EQUAL, "arrivals": Arrivals.CONSTANT}, "does not go with issue=equal"),
        ({"issue": Issue.UNIQUE, "extend": True, "max_duration_ms": 1e5}, "fixed length"),
        ({"accuracy_log_probability": 0.1, "accuracy_log_sampling_target": 9}, "choose one"),
        ({"scenario": Scenario.OFFLINE}, "bound_ms=10.0: only server"),
        ({**OFFLINE, "max_query_count": 500}, "max_query_count=500: offline is one query"),
        ({**OFFLINE, "max_duration_ms": 1e6}, "max_duration_ms=1000000.0: offline is one query"),
        ({**CLOSED, "target_qps": float("inf")}, "target_qps=inf"),
        ({**CLOSED, "samples_per_query": 2, "issue": Issue.EQUAL}, "queries of several samples"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, word):
    base = {"scenario": Scenario.SERVER, "target_qps": 10.0, "bound_ms": 10.0}
    with pytest.raises(ValueError, match=word):
        Settings(**{**base, **changes})


@pytest.mark.parametrize(
    ("qps", "duration_ms", "least", "target", "kept"),
    [
        (1000, 200, 1, 64, 54),
        (1000, 200, 500, 64, 55),
        (1000, 200, 100, 128, 122),
        (500, 1000, 100, 64, 51),
        (1000, 200, 100, 20, 15),
    ],
)
def test_an_offline_run_keeps_as_many_responses_as_the_official_one(
    qps, duration_ms, least, target, kept, settings
):
    """Counts of what mlcommons_loadgen 6.0.17 logged: the target is one of all its samples."""
    asked = settings(
        "offline",
        target_qps=qps,
        min_duration_ms=duration_ms,
        min_query_count=least,
        accuracy_log_sampling_target=target,
        accuracy_log_seed=720381539243781796,
    )
    samples = len(generate(asked, np.arange(128)).sample_index)
    assert logged(asked, samples).sum() == kept
