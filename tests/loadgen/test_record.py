"""What a run records, in how many bytes, and that nothing is rounded or wraps."""

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen import Ending, RunLog, Scenario, Settings, run
from loadgen._tape import APART, played
from loadgen._traffic import generate
from loadgen.log import joined
from loadgen.queries import queries_for
from loadgen.takes import Takes

HOUR_NS = 3_600_000_000_000


def log_of(scheduled_ns, per_query, takes, answers):
    """A run log of what takes and answers leave on a tape."""
    words, apart, answered, _ = played(scheduled_ns, per_query, takes, answers)
    return RunLog(
        settings=Settings(scenario=Scenario.SERVER, target_qps=1.0, bound_ms=1.0),
        ending=Ending.COMPLETE,
        started_at="2026-11-23T17:28:44.123+00:00",
        scheduled_ns=scheduled_ns,
        first_sample=np.arange(len(scheduled_ns)) * per_query,
        takes=Takes(words, apart),
        answers=answered,
        sample_index=np.zeros(len(words), np.int32),
        responses=None,
        repeated=0,
        unknown=0,
        after_end=0,
        error=None,
    )


@pytest.mark.parametrize(
    ("scenario", "size"), [("server", 24), ("offline", 16), ("single_stream", 24)]
)
@pytest.mark.parametrize("tokens", [False, True])
def test_bytes_per_query(scenario, size, tokens, settings):
    asked = settings(scenario, min_query_count=1000, min_duration_ms=0)
    if tokens:
        bounds = {"ttft_bound_ms": 1.0, "tpot_bound_ms": 1.0} if scenario == "server" else {}
        asked = replace(asked, use_token_latencies=True, **bounds)
    queries = queries_for(asked, generate(asked, np.arange(64), closed_loop_queries=1000))
    assert queries.start(0, 1.0)
    while (batch := queries.take(64)) is not None:
        batch.complete()
    arrays = queries.arrays
    of_queries = 8 if scenario == "offline" else 0  # one query's time
    assert sum(array.nbytes for array in arrays) == size * 1000 + of_queries
    assert len(queries.apart_takes) == 0
    told = [array.nbytes for array in queries.token_arrays if array is not None]
    assert sum(told) == (12 * 1000 if tokens else 0)
    if scenario == "server":
        assert np.shares_memory(arrays[0], queries.traffic.scheduled_ns)
    assert np.shares_memory(arrays[3], queries.traffic.sample_index)


@st.composite
def runs(draw):
    """Takes of 1 to 3 samples and their answers, from nanoseconds to days apart."""
    times = st.one_of(
        st.integers(0, 5), st.integers(APART - 2, APART + 2), st.integers(0, 30 * 24 * HOUR_NS)
    )
    takes, answers, begin, at = [], [], 0, 0
    for size in draw(st.lists(st.integers(1, 3), min_size=1, max_size=12)):
        at += draw(times)
        late = draw(st.one_of(st.just(-1), st.integers(0, at)))
        takes.append((begin, begin + size, at, late))
        for sample in range(begin, begin + size):
            kind = draw(st.sampled_from(["done", "failed", "lost"]))
            if kind != "lost":
                answers.append((sample, 1, kind == "failed", at + draw(times)))
        begin += size
    # Some takers woke just for what they took, others gathered after it.
    due = [
        at - late if late >= 0 and draw(st.booleans()) else draw(st.integers(0, at))
        for first, end, at, late in takes
        for _ in range(first, end)
    ]
    return np.array(due, np.int64), takes, answers


@given(runs())
def test_every_time_is_read_back_to_the_nanosecond(case):
    scheduled_ns, takes, answers = case
    log = log_of(scheduled_ns, 1, takes, answers)
    taken = np.concatenate([np.full(end - begin, at) for begin, end, at, _ in takes])
    assert log.taken_ns.tolist() == taken.tolist()
    assert log.batch_sizes.tolist() == [end - begin for begin, end, _, _ in takes]
    assert log.lateness_ns.tolist() == [late for *_, late in takes if late >= 0]
    completed, status = np.full(len(taken), -1), np.full(len(taken), 1)
    for sample, _, failed, at in answers:
        completed[sample], status[sample] = at, 3 if failed else 2
    assert log.completed_ns.tolist() == completed.tolist()
    assert log.status.tolist() == status.tolist()
    assert log.lost.tolist() == np.flatnonzero(status == 1).tolist()
    assert log.failed.tolist() == np.flatnonzero(status == 3).tolist()
    done = status == 2
    assert log.latency_ns.tolist() == (completed - scheduled_ns)[done].tolist()


@given(runs(), runs())
def test_runs_that_are_joined_keep_their_times(one, other):
    logs = [log_of(case[0], 1, *case[1:]) for case in (one, other)]
    both, shift = joined(logs), int(logs[0].completed_ns.max(initial=0))
    for name in ("taken_ns", "completed_ns", "scheduled_ns"):
        first, second = (getattr(log, name) for log in logs)
        expected = [*first, *(t + shift if t >= 0 else t for t in second.tolist())]
        assert getattr(both, name).tolist() == expected
    for name in ("status", "batch_sizes", "lateness_ns"):
        expected = [*getattr(logs[0], name), *getattr(logs[1], name)]
        assert getattr(both, name).tolist() == expected


def test_an_answer_changes_an_open_sample_once():
    due = np.zeros(3, np.int64)
    takes = [(0, 2, 5, -1)]
    answers = [(0, 1, False, 7), (0, 1, True, 9), (2, 1, False, 9), (1, 1, False, -4)]
    *_, words, counts = played(due, 1, takes, answers)
    assert counts == (1, 0, 1, 2)
    log = log_of(due, 1, takes, answers)
    assert log.completed_ns.tolist() == [7, -1, -1]
    assert log.status.tolist() == [2, 1, 0]
    assert len(words) == 3


def test_a_system_that_is_slow_between_takes_keeps_its_times(settings, library, scripted_sut):
    """Longer than a take's word can hold."""

    def sleepy(batch):
        if batch.ids[0] == 1:
            time.sleep(1.2)
        batch.complete(batch.indices)

    asked = settings(target_qps=1000.0, min_query_count=50, min_duration_ms=0)
    log = run(asked, library, scripted_sut(answer=sleepy))
    gaps = np.diff(log.taken_ns)
    assert (gaps > APART).sum() == 1
    assert gaps.max() == log.taken_ns[2] - log.taken_ns[1] >= 1_200_000_000
    assert len(log.takes.apart) == 1
    assert (log.completed_ns >= log.taken_ns).all()
    assert (log.taken_ns >= log.scheduled_ns).all()


def test_how_late_a_gathering_take_woke_is_kept(settings, library, scripted_sut):
    asked = settings(target_qps=500.0, min_query_count=50, min_duration_ms=0)
    log = run(asked, library, scripted_sut(max_batch=50, max_wait_us=20_000))
    assert len(log.lateness_ns) > 0
    # It was handed out 20 ms after the time of its first query, and had woken long before.
    assert log.lateness_ns.min() < 10_000_000
    waited = log.taken_ns[log.takes.first] - log.scheduled_ns[log.takes.first]
    assert waited.max() >= 20_000_000
    assert replace(log, ending=Ending.STOPPED).lateness_ns.tolist() == log.lateness_ns.tolist()
