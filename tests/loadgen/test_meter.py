"""A meter measures beside the timed part: started right before it, stopped right after it."""

import time

import pytest

from loadgen import Ending, run


class Clock:
    """Remembers when it was started and stopped; its measurement is the time between."""

    def __init__(self):
        self.started, self.stopped = [], []

    def start(self):
        self.started.append(time.monotonic())

    def stop(self):
        self.stopped.append(time.monotonic())
        return self.stopped[-1] - self.started[-1]


def timed(answered):
    def note(batch):
        answered.append(time.monotonic())
        batch.complete(batch.indices)

    return note


@pytest.mark.parametrize("scenario", ["single_stream", "multi_stream", "server", "offline"])
def test_it_spans_the_answers_and_nothing_of_the_warm_up(scenario, settings, library, scripted_sut):
    meter, answered = Clock(), []
    asked = settings(scenario, warmup_ms=50.0)
    log = run(asked, library, scripted_sut(answer=timed(answered)), meter=meter)
    (started,), (stopped,) = meter.started, meter.stopped
    timed_part = [at for at in answered if at >= started]
    assert len(timed_part) == len(log.sample_index) < len(answered)
    assert started < min(timed_part) and max(timed_part) < stopped + 0.01
    assert log.metered == stopped - started
    assert log.warmup.metered is None


def test_a_run_that_fails_stops_it_too(settings, library, failing_sut):
    meter = Clock()
    log = run(settings("single_stream"), library, failing_sut, meter=meter)
    assert log.ending is Ending.SUT_ERROR or len(log.failed)
    assert log.metered is not None and len(meter.stopped) == 1


def test_a_system_that_cannot_load_is_not_metered(settings, library, scripted_sut):
    class Broken(scripted_sut):
        def load(self, samples):
            raise RuntimeError("out of memory")

    meter = Clock()
    log = run(settings(), library, Broken(), meter=meter)
    assert log.ending is Ending.SUT_ERROR
    assert (log.metered, meter.started) == (None, [])


def test_without_a_meter_there_is_no_measurement(settings, library, null_sut):
    assert run(settings(), library, null_sut).metered is None
