"""The C-level interface, by the native null system."""

import numpy as np
import pytest

from loadgen import Mode, judge, run
from loadgen._native import NativeNull


@pytest.mark.parametrize("scenario", ["single_stream", "multi_stream", "server", "offline"])
@pytest.mark.parametrize("workers", [1, 4])
def test_a_native_system_is_valid_in_every_scenario(scenario, workers, settings, library):
    asked = settings(scenario, min_duration_ms=0 if scenario == "offline" else 100)
    log = run(asked, library, NativeNull(workers, 4))
    assert judge(log).valid
    assert log.done.all()
    assert (log.completed_ns >= log.taken_ns).all()


def test_native_takers_share_a_million_samples_and_answer_each_once(settings, library):
    asked = settings("offline", min_sample_count=1_000_000, target_qps=1, min_duration_ms=0)
    log = run(asked, library, NativeNull(workers=4, max_batch=100))
    assert log.done.all()
    assert log.repeated == log.unknown == 0
    assert log.batch_sizes.sum() == 1_000_000


def test_a_native_system_keeps_up_with_a_busy_python_thread(settings, library):
    """It never takes the GIL, so its wake-ups do not wait for the other thread's turn."""
    import threading

    stop = threading.Event()
    busy = threading.Thread(target=lambda: [None for _ in iter(stop.is_set, True)])
    busy.start()
    try:
        log = run(settings(target_qps=1000.0, min_duration_ms=500), library, NativeNull())
    finally:
        stop.set()
        busy.join()
    # A Python system would wait up to 5 ms for the GIL every time.
    assert np.median(log.latency_ns) < 2_000_000


def test_it_refuses_to_be_scored(settings, library):
    log = run(settings("offline", mode=Mode.ACCURACY), library, NativeNull())
    assert "no responses to log" in log.error
