"""A system that answers otherwise when it is timed is caught; an honest one passes."""

from dataclasses import replace

import numpy as np
import pytest

from engine.audit.answers import alike, same_answers
from engine.audit.finding import Outcome
from loadgen import Mode, Scenario, Settings, run
from loadgen.samples import NoSamples
from sut.null import NullSut

TASK = "image_classification"
LIBRARY = NoSamples(total_count=64, performance_count=64)


class Cheat(NullSut):
    """Answers one sample in eight with a guess, as a cheaper network would."""

    def serve(self, queries, worker):
        while (batch := queries.take(self.max_batch)) is not None:
            answers = batch.indices.astype(np.int64)
            batch.complete(np.where(answers % 8 == 0, -1, answers))


def performance(sut, share=1.0, count=2000):
    asked = Settings(
        Scenario.OFFLINE,
        target_qps=1000.0,
        min_duration_ms=0,
        min_query_count=1,
        min_sample_count=count,
        accuracy_log_probability=share,
    )
    return run(asked, LIBRARY, sut)


@pytest.fixture(scope="module")
def accuracy():
    asked = Settings(Scenario.OFFLINE, mode=Mode.ACCURACY, target_qps=1000.0)
    return run(asked, LIBRARY, NullSut(max_batch=8))


def test_an_honest_system_passes(accuracy):
    found = same_answers(performance(NullSut(max_batch=16)), accuracy, TASK)
    assert found.outcome is Outcome.PASS, found.sentence


def test_cheaper_answers_in_the_performance_run_are_caught(accuracy):
    found = same_answers(performance(Cheat(max_batch=16)), accuracy, TASK)
    assert found.outcome is Outcome.FAIL
    assert "answers of a performance run differ" in found.sentence


def test_too_few_answers_are_not_judged(accuracy):
    found = same_answers(performance(NullSut(max_batch=16), count=20), accuracy, TASK)
    assert found.outcome is Outcome.UNDECIDED
    assert "too few to tell: set audit.seconds higher" in found.sentence
    kept = performance(NullSut(max_batch=16), count=20)
    told = same_answers(kept, accuracy, TASK, "scenario.min_duration_s").sentence
    assert "set scenario.min_duration_s higher" in told


class Wavering(NullSut):
    """Answers one query in a hundred otherwise, as rounding may: just what is allowed."""

    def serve(self, queries, worker):
        while (batch := queries.take(self.max_batch)) is not None:
            answers = batch.indices.astype(np.int64)
            batch.complete(np.where(batch.ids % 100 == 0, -1, answers))


def test_answers_close_to_the_limit_are_not_judged_and_longer_runs_not_advised(accuracy):
    found = same_answers(performance(Wavering(max_batch=16), count=4000), accuracy, TASK)
    assert found.outcome is Outcome.UNDECIDED
    assert "too close to the limit to tell: set sut.max_batch=1" in found.sentence


def test_an_answer_to_a_sample_that_the_accuracy_run_never_asked_differs(accuracy):
    half = replace(
        accuracy, sample_index=accuracy.sample_index[:32], responses=accuracy.responses[:32]
    )
    found = same_answers(performance(NullSut(max_batch=16)), half, TASK)
    assert found.outcome is Outcome.FAIL and 900 < found.figures["differing"] < 1100


def test_a_run_that_kept_nothing_is_not_judged(accuracy):
    assert (
        same_answers(performance(NullSut(), 0.0), accuracy, TASK).outcome is Outcome.NOT_APPLICABLE
    )


def test_objects_may_come_in_another_order_and_nearly_alike():
    rows = np.random.default_rng(0).random((20, 7)).astype(np.float32)
    assert alike(rows, rows[::-1] * 1.001, "object_detection")
    assert not alike(rows, rows[:15], "object_detection")
    assert not alike(rows, rows + 0.1, "object_detection")


def test_scores_say_what_their_largest_does():
    assert alike(np.array([0.1, 0.9]), np.array([0.2, 0.7]), TASK)
    assert not alike(np.array([0.1, 0.9]), np.array([0.9, 0.7]), TASK)
