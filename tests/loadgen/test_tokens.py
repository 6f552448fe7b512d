"""Answers that come token by token: what is recorded of them, their figures, their verdict."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from loadgen import Ending, Mode, judge, run
from loadgen._traffic import generate
from loadgen.progress import progress_of
from loadgen.queries import queries_for
from loadgen.statistics import early_stopping_count
from loadgen.tokens import token_latencies_ns

TOKENS = {"use_token_latencies": True}
BOUNDS = {**TOKENS, "ttft_bound_ms": 50.0, "tpot_bound_ms": 50.0}

EXTENDING = {"extend": True, "max_duration_ms": 1e6, "confidence": 0.99}


def speak(batch):
    batch.first_token()
    batch.complete(batch.indices, tokens=np.full(len(batch), 5))


def rows(log, settings=None):
    return {row.name: row for row in judge(log, settings).constraints}


@pytest.fixture
def started(settings):
    def make(scenario="offline", **changes):
        asked = settings(scenario, **{"min_duration_ms": 0, **TOKENS, **changes})
        queries = queries_for(asked, generate(asked, np.arange(64), closed_loop_queries=4))
        assert queries.start(0, 1.0)
        return queries

    return make


def test_the_first_token_and_the_number_of_tokens_are_recorded(started):
    queries = started(target_qps=1)
    early, late = queries.take(25), queries.take(25)
    early.first_token()
    time.sleep(0.02)
    queries.first_tokens(late.ids)
    late.complete(tokens=range(2, 27))
    queries.complete(early.ids, tokens=[7] * 25)
    first_token_ns, token_count, kept = queries.token_arrays
    assert first_token_ns[25:].min() - first_token_ns[:25].max() >= 20_000_000
    assert (queries.arrays[2] >= first_token_ns).all()
    assert token_count.tolist() == [7] * 25 + list(range(2, 27))
    assert kept is None
    assert (first_token_ns.dtype, token_count.dtype) == (np.int64, np.int32)


def test_nothing_is_recorded_of_tokens_unless_asked(settings, library, scripted_sut):
    log = run(settings(min_duration_ms=20), library, scripted_sut(answer=speak))
    assert log.first_token_ns is log.token_count is log.first_tokens is None
    verdict = judge(log)
    assert verdict.valid
    assert verdict.statistics.tokens is None


def test_only_the_first_first_token_of_an_open_sample_counts(started):
    queries = started(target_qps=1)
    batch = queries.take(10)
    batch.first_token()
    before = queries.token_arrays[0].copy()
    batch.first_token()
    queries.first_tokens([-1, 10**9, 40])
    assert np.array_equal(queries.token_arrays[0], before)
    assert queries.counts["unknown"] == 3
    silent = queries.take(10)
    silent.complete(tokens=[3] * 10)
    silent.first_token()
    silent.complete(tokens=[9] * 10)
    assert (queries.token_arrays[0][10:] == -1).all()
    assert (queries.token_arrays[1][10:] == 3).all()
    assert queries.counts["repeated"] == 10


@pytest.mark.parametrize(
    ("tokens", "problem"),
    [
        ([1, 2], "expected 3 integers"),
        ([1.5, 2, 3], "expected 3 integers"),
        ([1, 2, 2**31], "31 bits"),
        ([1, -2, 3], "31 bits"),
    ],
)
def test_impossible_counts_are_refused(tokens, problem, started):
    batch = started(target_qps=1).take(3)
    with pytest.raises(ValueError, match=problem):
        batch.complete(tokens=tokens)
    batch.complete(tokens=[1, 2, 3])


def test_a_closed_loop_may_grow_while_other_threads_tell_of_tokens(started):
    queries = started("single_stream", min_query_count=1, min_duration_ms=100)
    over = threading.Event()

    def repeat():
        while not over.wait(0.0005):
            queries.first_tokens(np.arange(50))

    other = threading.Thread(target=repeat)
    other.start()
    while (batch := queries.take()) is not None:
        batch.first_token()
        batch.complete(tokens=[4])
    over.set()
    other.join(5)
    first_token_ns, token_count, _ = queries.token_arrays
    assert len(token_count) > 100
    assert (token_count == 4).all()
    assert (first_token_ns >= 0).all()


@pytest.mark.parametrize("scenario", ["server", "offline", "single_stream", "multi_stream"])
def test_figures_are_those_of_the_arrays(scenario, settings, library, scripted_sut):
    asked = settings(scenario, **(BOUNDS if scenario == "server" else TOKENS))
    log = run(asked, library, scripted_sut(max_batch=4, answer=speak))
    statistics = judge(log).statistics.tokens
    query = np.searchsorted(log.first_sample, np.arange(len(log.answers)), "right") - 1
    ttft = np.sort(log.first_token_ns - log.scheduled_ns[query])
    tpot = np.sort((log.completed_ns - log.first_token_ns) // 4)
    assert statistics.count == 5 * len(log.answers)
    assert statistics.per_s == pytest.approx(statistics.count / (log.completed_ns.max() / 1e9))
    for values, of in ((ttft, statistics.ttft_ms), (tpot, statistics.tpot_ms)):
        assert of["p99"] * 1e6 == pytest.approx(values[int(len(values) * 0.99)])
        assert of["max"] * 1e6 == pytest.approx(values[-1])
        assert of["mean"] * 1e6 == pytest.approx(values.mean())
    assert rows(log)["tokens"].passed


def test_a_server_is_judged_by_its_tokens(settings, library, scripted_sut):
    asked = settings(**{**BOUNDS, "bound_ms": 1e-6, "confidence": 0.99, "min_query_count": 500})
    log = run(replace(asked, target_qps=5000.0), library, scripted_sut(answer=speak))
    made = rows(log)
    assert {"p99_ttft", "p99_tpot", "early_stopping_ttft", "early_stopping_tpot"} <= set(made)
    assert not {"p99_latency", "early_stopping"} & set(made)
    # The latency bound, which no answer keeps, is reported only.
    assert judge(log).statistics.over_bound_count == len(log.answers)
    ttft, tpot = token_latencies_ns(log)
    for kind, values in (("ttft", ttft), ("tpot", tpot)):
        strict = replace(log.settings, **{f"{kind}_bound_ms": 1e-6})
        judged = rows(log, strict)
        assert not judged[f"p99_{kind}"].passed
        assert judged[f"early_stopping_{kind}"].measured == f"{(values > 1).sum():,}"
        assert f"there are {len(values):,}" in judged[f"early_stopping_{kind}"].hint
        assert not judge(log, strict).valid


@pytest.mark.parametrize("fault", ["no first token", "no count", "one token"])
def test_a_sample_without_tokens_makes_a_run_invalid_by_name(
    fault, settings, library, scripted_sut
):
    def answer(batch):
        if batch.ids[0] not in (7, 9):
            return speak(batch)
        if fault != "no first token":
            batch.first_token()
        tokens = {"no first token": [5], "no count": None, "one token": [1]}[fault]
        return batch.complete(batch.indices, tokens=tokens)

    log = run(settings(**BOUNDS), library, scripted_sut(answer=answer))
    row = rows(log)["tokens"]
    assert not judge(log).valid
    assert "first ids: 7, 9" in row.hint
    few, silent = (0, 2) if fault == "no first token" else (2, 0)
    assert row.measured == f"{few} with fewer, {silent} without a first token"


@pytest.mark.parametrize("late", ["first", "further", "silent"])
def test_a_run_goes_on_until_both_tests_have_decided(late, settings, library, scripted_sut):
    """Early ones miss one bound: enough for that test to need more queries than are planned."""

    def answer(batch):
        missing = 100 <= batch.ids[0] < 103
        if missing and late == "silent":
            return batch.complete(batch.indices, tokens=[5])
        if missing and late == "first":
            time.sleep(0.06)
        batch.first_token()
        if missing and late == "further":
            time.sleep(0.06)
        return batch.complete(batch.indices, tokens=[2])

    asked = settings(
        **{**BOUNDS, **EXTENDING, "max_duration_ms": 4000.0, "target_qps": 2000.0},
        min_query_count=300,
    )
    log = run(asked, library, scripted_sut(answer=answer, workers=4))
    ttft, tpot = ((values > 50_000_000).sum() for values in token_latencies_ns(log))
    over = max(ttft, tpot, 3)
    if over > 20:
        pytest.skip("the machine stood still: so many are late that the run is not prolonged")
    assert log.ending is Ending.COMPLETE
    assert early_stopping_count(over, 99.0) <= len(log.answers) < 8000
    assert len(log.answers) > 662  # which none over the bound would be enough for
    made = rows(log)
    if late != "silent":
        assert made["early_stopping_ttft"].passed and made["early_stopping_tpot"].passed


@pytest.mark.parametrize("slow", ["first", "further"])
def test_a_run_that_misses_a_token_bound_is_not_prolonged(slow, settings, library, scripted_sut):
    def answer(batch):
        time.sleep(0.03 if slow == "first" else 0)
        batch.first_token()
        time.sleep(0.03 if slow == "further" else 0)
        batch.complete(batch.indices, tokens=[2] * len(batch))

    bounds = {**BOUNDS, "ttft_bound_ms": 1.0 if slow == "first" else 1e5, "tpot_bound_ms": 1.0}
    asked = settings(**{**bounds, **EXTENDING}, min_query_count=300)
    log = run(asked, library, scripted_sut(answer=answer, max_batch=1000))
    assert len(log.answers) == 300
    assert not rows(log)[f"p99_{'ttft' if slow == 'first' else 'tpot'}"].passed


def test_what_is_late_is_known_while_the_run_goes_on(started):
    queries = started("server", ttft_bound_ms=200.0, tpot_bound_ms=100.0, target_qps=1e6)
    batches = [queries.take(10) for _ in range(3)]
    batches[0].first_token()
    time.sleep(0.25)
    batches[1].first_token()
    progress = progress_of(queries)
    assert (progress.known - progress.overdue, progress.over_bound) == (20, 10)
    assert progress.overdue >= 10
    for batch in batches:
        batch.complete(tokens=[2] * 10)
    progress = progress_of(queries)
    # The last ten never told of a first token, so neither time is known to be in order.
    assert progress.over_bound + progress.overdue >= 20
    assert queries.counts["over_bound"] == 20
    assert queries.counts["over_tpot"] == 20


def test_offline_needs_no_first_token(settings, library, scripted_sut):
    silent = scripted_sut(answer=lambda batch: batch.complete(batch.indices, tokens=[3]))
    log = run(settings("offline", min_duration_ms=0, **TOKENS), library, silent)
    assert rows(log)["tokens"].passed


def test_a_run_without_tokens_cannot_be_judged_by_them(settings, library, scripted_sut):
    log = run(settings(min_duration_ms=20), library, scripted_sut())
    verdict = judge(log, replace(log.settings, **BOUNDS))
    assert not verdict.valid
    assert [row.measured for row in verdict.missed if row.name == "tokens"] == ["not recorded"]


def test_an_accuracy_run_keeps_the_first_tokens_of_all_its_sets(settings, library_of, scripted_sut):
    def answer(batch):
        batch.first_token(batch.indices + 100)
        batch.complete(batch.indices, tokens=batch.indices + 2)

    asked = settings(mode=Mode.ACCURACY, **TOKENS)
    log = run(asked, library_of(40, 16), scripted_sut(answer=answer))
    assert [int(token) for token in log.first_tokens] == (log.sample_index + 100).tolist()
    assert log.token_count.tolist() == (log.sample_index + 2).tolist()
    assert (log.first_token_ns >= log.taken_ns).all()
    assert (log.first_token_ns <= log.completed_ns).all()


@pytest.mark.parametrize(
    ("scenario", "changes", "problem"),
    [
        ("server", TOKENS, "needs ttft_bound_ms"),
        ("server", {"ttft_bound_ms": 5.0}, "ttft_bound_ms=5.0: only a server run with"),
        ("offline", {**TOKENS, "tpot_bound_ms": 5.0}, "tpot_bound_ms=5.0: only a server"),
        ("server", {**BOUNDS, "ttft_bound_ms": -1.0}, "ttft_bound_ms=-1.0: it must be"),
    ],
)
def test_contradicting_settings_are_refused(scenario, changes, problem, settings):
    with pytest.raises(ValueError, match=problem):
        settings(scenario, **changes)
