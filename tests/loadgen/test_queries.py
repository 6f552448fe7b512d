"""The contract of take, complete and fail, and what many threads may do to it."""

import sys
import threading
import time

import numpy as np
import pytest

from loadgen import Mode
from loadgen._traffic import generate
from loadgen.queries import queries_for
from loadgen.takes import Takes


def started(settings, indices=None, queries=None):
    """Queries whose clock runs, without a runner."""
    made = queries_for(settings, generate(settings, np.arange(64) if indices is None else indices))
    assert made.start(0, 1.0)
    return made


def takes_of(queries):
    return Takes(queries.arrays[1], queries.apart_takes)


def test_offline_batches_are_contiguous_and_cover_everything(settings):
    queries = started(settings("offline", min_sample_count=100, target_qps=1))
    sizes = []
    while (batch := queries.take(32)) is not None:
        assert np.array_equal(batch.ids, np.arange(sum(sizes), sum(sizes) + len(batch)))
        assert np.array_equal(batch.indices, queries.traffic.sample_index[batch.ids])
        sizes.append(len(batch))
        batch.complete()
    assert sizes == [32, 32, 32, 4]
    assert queries.is_finished


def test_a_server_query_is_not_handed_out_before_its_time(settings):
    queries = started(settings(target_qps=200.0, min_query_count=20))
    while (batch := queries.take()) is not None:
        batch.complete()
    scheduled_ns, _, completed_ns, _ = queries.arrays
    taken_ns = takes_of(queries).at_ns
    assert (taken_ns >= scheduled_ns).all()
    assert (completed_ns >= taken_ns).all()


def test_what_is_overdue_comes_in_one_batch(settings):
    queries = started(settings(target_qps=2000.0, min_query_count=200))
    time.sleep(0.06)
    batch = queries.take(50)
    assert len(batch) == 50
    queries.stop()


def test_what_is_due_can_be_asked_before_it_is_taken(settings):
    queries = started(settings(target_qps=200.0, min_query_count=100))
    scheduled_ns = queries.traffic.scheduled_ns
    assert queries.due(1000) < 10
    while queries.elapsed_ns < scheduled_ns[9]:
        time.sleep(0.001)
    before = queries.due(1000)
    passed = int(np.searchsorted(scheduled_ns, queries.elapsed_ns, "right"))
    assert 10 <= before <= passed
    assert queries.due() == 1
    assert len(queries.take(7)) == 7
    assert queries.due(2) == 2
    assert queries.due(1000) >= before - 7
    queries.stop()
    assert queries.due(1000) == 0


def test_offline_all_is_due_at_once(settings):
    queries = started(settings("offline", min_sample_count=100, target_qps=1))
    queries.take(40)
    assert (queries.due(1000), queries.due(50)) == (60, 50)
    queries.stop()


def test_a_closed_loop_has_nothing_due_while_it_waits_for_an_answer(settings):
    queries = started(settings("multi_stream", samples_per_query=8))
    assert queries.due(100) == 0
    first = queries.take(3)
    assert queries.due(100) == 5
    second = queries.take(5)
    assert queries.due(100) == 0
    first.complete()
    second.complete()


def test_a_batch_waits_for_more_only_as_long_as_asked(settings):
    queries = started(settings(target_qps=1000.0, min_query_count=500))
    time.sleep(0.002)
    first = queries.take(1000, max_wait_us=30_000)
    scheduled_ns, *_ = queries.arrays
    assert 5 < len(first) < 200
    (taken_ns,) = takes_of(queries).at_ns
    assert scheduled_ns[len(first) - 1] <= taken_ns
    assert taken_ns >= 30_000_000
    queries.stop()


def test_a_closed_loop_has_one_query_at_a_time(settings):
    queries = started(settings("single_stream", min_query_count=5, min_duration_ms=0))
    held = queries.take(10)
    assert len(held) == 1
    got = []
    waiting = threading.Thread(target=lambda: got.append(queries.take()))
    waiting.start()
    time.sleep(0.05)
    assert got == []
    held.complete()
    waiting.join(5)
    assert got[0].ids.tolist() == [1]
    queries.stop()


def test_several_takers_share_a_multi_stream_query(settings):
    queries = started(settings("multi_stream", min_query_count=1, min_duration_ms=0))
    parts = [queries.take(1) for _ in range(4)]
    assert [part.ids.tolist() for part in parts] == [[0], [1], [2], [3]]
    for part in reversed(parts):
        part.complete()
    assert queries.take() is None


def test_a_closed_loop_grows_beyond_what_was_generated(settings):
    asked = settings("single_stream", min_query_count=1, min_duration_ms=60)
    queries = queries_for(asked, generate(asked, np.arange(64), closed_loop_queries=4))
    queries.start(0, 1.0)
    while (batch := queries.take()) is not None:
        batch.complete()
    _, _, completed_ns, sample_index = queries.arrays
    assert len(completed_ns) > 1000
    assert (completed_ns > 0).all()
    whole = generate(asked, np.arange(64), closed_loop_queries=len(completed_ns)).sample_index
    assert np.array_equal(sample_index, whole[: len(sample_index)])


def test_repeats_while_a_closed_loop_lengthens_do_not_freeze_it(settings):
    asked = settings("single_stream", min_query_count=1, min_duration_ms=60)
    queries = queries_for(asked, generate(asked, np.arange(64), closed_loop_queries=4))
    queries.start(0, 1.0)

    def work():
        while (batch := queries.take()) is not None:
            batch.complete()
            queries.complete(batch.ids)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert queries.is_finished
    assert queries.counts["repeated"] == queries.counts["completed"] > 100


def test_answers_out_of_order_keep_their_own_times(settings):
    queries = started(settings("offline", min_sample_count=50, target_qps=1))
    late, early = queries.take(25), queries.take(25)
    early.complete()
    time.sleep(0.02)
    late.complete()
    completed_ns = queries.arrays[2]
    assert completed_ns[:25].min() - completed_ns[25:].max() >= 20_000_000


def test_repeated_unknown_and_late_answers_are_counted_and_change_nothing(settings):
    queries = started(settings("offline", min_sample_count=60, target_qps=1))
    batch = queries.take(25)
    batch.complete()
    before = queries.arrays[2].copy()
    batch.complete()
    queries.complete([-1, 10**9, 40])
    assert queries.counts["repeated"] == 25
    assert queries.counts["unknown"] == 3
    assert np.array_equal(queries.arrays[2], before)
    left = queries.take(100)
    queries.stop()
    left.complete()
    assert queries.counts["after_end"] == 35
    assert queries.counts["completed"] == 25


def test_a_failure_keeps_its_first_traceback(settings):
    queries = started(settings("offline", min_sample_count=50, target_qps=1))
    try:
        raise OSError("no such device")
    except OSError as error:
        queries.take(10).fail(error)
    queries.take(10).fail("second")
    assert "OSError: no such device" in queries.first_error
    assert queries.counts["failed"] == 20


def test_single_ids_can_be_completed_one_by_one(settings):
    queries = started(settings("offline", min_sample_count=50, target_qps=1))
    queries.take(50)
    for i in reversed(range(50)):
        queries.complete([i])
    assert queries.is_finished


def test_responses_are_copied(settings):
    asked = settings("offline", mode=Mode.ACCURACY)
    queries = started(asked, np.arange(6))
    buffer = np.zeros((3, 2))
    while (batch := queries.take(3)) is not None:
        buffer[:] = batch.indices[:, None]
        batch.complete(buffer)
    assert [response.tolist() for response in queries.responses] == [[i, i] for i in range(6)]


def test_too_few_responses_are_refused(settings):
    queries = started(settings("offline", mode=Mode.ACCURACY), np.arange(6))
    batch = queries.take(3)
    with pytest.raises(ValueError, match="needs 3 responses, got 2"):
        batch.complete([1, 2])
    with pytest.raises(ValueError, match="got none"):
        batch.complete()


def test_many_takers_answer_each_sample_once(settings):
    queries = started(settings("server", target_qps=200_000.0, min_query_count=40_000))
    seen = [[] for _ in range(8)]

    def work(mine):
        while (batch := queries.take(7)) is not None:
            mine.extend(batch.ids.tolist())
            batch.complete()

    threads = [threading.Thread(target=work, args=(mine,)) for mine in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    ids = sorted(i for mine in seen for i in mine)
    assert ids == list(range(len(queries.traffic.sample_index)))
    assert queries.counts["completed"] == len(ids)
    assert queries.is_finished


def test_stop_wakes_every_waiting_taker(settings):
    queries = started(settings(target_qps=0.001, min_query_count=10))
    queries.take()  # the first query comes at once, the next in a quarter of an hour
    threads = [threading.Thread(target=queries.take) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    queries.stop()
    for thread in threads:
        thread.join(2)
        assert not thread.is_alive()


def test_waiting_releases_the_gil(settings):
    queries = started(settings(target_qps=5.0, min_query_count=10, min_duration_ms=0))
    waiting = threading.Thread(target=lambda: [queries.take() for _ in range(3)])
    waiting.start()
    count, end = 0, time.monotonic() + 0.1
    while time.monotonic() < end:
        count += 1
    queries.stop()
    waiting.join(2)
    assert count > 1000


def test_an_impossible_batch_size_is_refused(settings):
    with pytest.raises(ValueError, match="max_samples"):
        started(settings()).take(0)


def test_one_sample_is_answered_like_several(settings):
    queries = started(settings("offline", min_sample_count=4, target_qps=1, min_duration_ms=0))
    queries.take(3)
    for id in (1, 1, 3, -1, 99):
        queries.complete_one(id)
    counts = queries.counts
    assert (counts["completed"], counts["repeated"], counts["unknown"]) == (1, 1, 3)
    assert (queries.arrays[2] >= 0).tolist() == [False, True, False]


def test_one_answer_is_kept_where_answers_are_kept(settings):
    queries = started(settings("offline", mode=Mode.ACCURACY))
    queries.take(2)
    with pytest.raises(ValueError, match="needs 1 responses, got none"):
        queries.complete_one(1)
    queries.complete_one(1, np.int32(5))
    assert [response and int(response) for response in queries.responses] == [None, 5]


@pytest.mark.parametrize("scenario", ["server", "offline", "multi_stream"])
def test_a_take_may_ask_for_any_number(scenario, settings):
    asked = settings(scenario, target_qps=1e6, min_query_count=50, min_duration_ms=0)
    queries, taken = started(asked), 0
    while (batch := queries.take(5 if taken == 0 else sys.maxsize)) is not None:
        taken += len(batch)
        batch.complete()
    assert queries.is_finished
    assert taken == len(queries.arrays[3]) >= 50
    assert queries.due(sys.maxsize) == 0


def test_a_batch_may_wait_until_it_is_full(settings):
    queries = started(settings(target_qps=1e4, min_query_count=50, min_duration_ms=0))
    assert len(queries.take(50, max_wait_us=float("inf"))) == 50


@pytest.mark.parametrize("wait_us", [-1.0, float("nan")])
def test_an_impossible_wait_is_refused(wait_us, settings):
    with pytest.raises(ValueError, match="max_wait_us"):
        started(settings()).take(1, max_wait_us=wait_us)


def test_who_waits_for_an_interval_holds_nobody_up(settings):
    queries = started(settings("multi_stream", interval_ms=5000.0))
    queries.take(4).complete()
    waiting = threading.Thread(target=queries.take)
    waiting.start()
    time.sleep(0.05)
    began = time.monotonic()
    assert not queries.wait(0.01)
    queries.complete([0])
    assert queries.due(9) == 0
    queries.stop()
    waiting.join()
    assert time.monotonic() - began < 1
    assert queries.counts["repeated"] == 1


def test_a_repeated_answer_skips_no_interval(settings):
    queries = started(settings("multi_stream", interval_ms=40.0, min_query_count=2))
    first = queries.take(4)
    first.complete()
    waiting = threading.Thread(target=lambda: (queries.take(4), queries.stop()))
    time.sleep(0.045)  # after the next query's time, so that a skip would show
    first.complete()
    waiting.start()
    waiting.join()
    scheduled_ns = queries.arrays[0]
    assert scheduled_ns[1] - scheduled_ns[0] == 40_000_000


def test_takers_share_the_queries_of_an_interval(settings):
    asked = settings("multi_stream", interval_ms=5.0, min_query_count=20, min_duration_ms=0)
    queries = started(asked)
    seen = [[] for _ in range(4)]

    def work(mine):
        while (batch := queries.take(1)) is not None:
            mine.append(int(batch.ids[0]))
            time.sleep(0.001)
            batch.complete()

    threads = [threading.Thread(target=work, args=(mine,)) for mine in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(i for mine in seen for i in mine) == list(range(80))
    assert all(mine for mine in seen)
    assert (np.diff(queries.arrays[0]) % 5_000_000 == 0).all()


def test_a_run_that_extends_itself_always_ends(settings):
    """The last answer comes just while a taker decides that there are no more queries."""
    asked = settings(
        target_qps=1e5,
        min_query_count=700,
        min_duration_ms=0,
        confidence=0.99,
        extend=True,
        max_duration_ms=1000.0,
    )
    for _ in range(8):
        queries = started(asked)
        held = []
        while len(held) < 700:
            held.extend(queries.take(700 - len(held)).ids.tolist())
        answering = threading.Thread(target=queries.complete, args=(held,))
        answering.start()
        while (batch := queries.take(1000)) is not None:
            batch.complete()
        answering.join()
        assert queries.is_finished
