"""The progress line, on a terminal and elsewhere."""

import io
import threading
import time
from types import SimpleNamespace

import numpy as np
from rich.console import Console

from engine.report.progress import Reporter, line
from loadgen import run
from loadgen.progress import Progress


def slow(batch):
    time.sleep(0.001)
    batch.complete(batch.indices)


def lines_of(asked, library, scripted_sut):
    """The lines of a run that goes on only once it has been looked at in its middle."""
    seen, looked = [], threading.Event()

    def answer(batch):
        if batch.ids[0] == 40:
            looked.clear()
            looked.wait(30)
        slow(batch)

    def watch(progress):
        seen.append(line("server", progress))
        looked.set()

    run(asked, library, scripted_sut(answer=answer), watch)
    return seen


def test_the_line_says_where_a_run_stands(settings, library, scripted_sut):
    seen = lines_of(settings(min_duration_ms=500), library, scripted_sut)
    for word in ("server", "issued ", "done ", "outstanding ", "recent p99 ", " ms", "ETA "):
        assert word in seen[-1]


def test_a_closed_loop_estimates_by_its_duration(settings, library, scripted_sut):
    asked = settings("single_stream", min_duration_ms=500)
    seen = lines_of(asked, library, scripted_sut)
    assert "ETA 0 s" in seen[-1]


def test_a_queue_that_is_left_at_the_end_takes_its_time(settings):
    """Ten seconds of arrivals are over, and half of them are answered."""
    traffic = SimpleNamespace(
        scheduled_ns=np.linspace(0, 10e9, 1000), least_queries=1000, samples_per_query=1
    )
    arrays = (traffic.scheduled_ns, None, np.full(1000, -1), None)
    counts = {"failed": 0, "over_bound": 0, "overdue": 0, "known": 0, "waiting": 480}
    queries = SimpleNamespace(traffic=traffic, arrays=arrays)
    asked = settings(target_qps=100.0)
    progress = Progress(asked, 10.0, 520, 500, total=1000, queries=queries, **counts)
    assert "ETA 10 s" in line("server", progress)


def test_offline_estimates_by_its_speed(settings, library, scripted_sut):
    asked = settings("offline", min_sample_count=400)
    seen = lines_of(asked, library, scripted_sut)
    assert "ETA" in seen[-1]
    assert "recent" not in seen[-1]


def test_lines_stay_where_there_is_no_terminal(settings, library, scripted_sut, monkeypatch):
    monkeypatch.setattr("engine.report.progress.PLAIN_INTERVAL_S", 0.1)
    file = io.StringIO()
    with Reporter(Console(file=file, force_terminal=False, width=200)) as reporter:
        reporter.say("building")
        reporter.warn("the store is gone")
        watch = reporter.follow("server", None)
        run(settings(min_duration_ms=500), library, scripted_sut(answer=slow), watch)
    text = file.getvalue()
    assert "building\n" in text
    assert "warning: the store is gone\n" in text
    assert text.count("outstanding") >= 2
    assert "\x1b" not in text


def test_a_terminal_gets_one_line_that_goes_away(settings, library, scripted_sut):
    file = io.StringIO()
    with Reporter(Console(file=file, force_terminal=True, width=120)) as reporter:
        watch = reporter.follow("server", None)
        run(settings(min_duration_ms=500), library, scripted_sut(answer=slow), watch)
    text = file.getvalue()
    assert "outstanding" in text
    assert text.endswith("\x1b[2K") or "\x1b[2K" in text.rpartition("outstanding")[2]


def test_the_watch_behind_it_still_decides(settings, library, null_sut):
    with Reporter(Console(file=io.StringIO())) as reporter:
        watch = reporter.follow("server", lambda progress: progress.completed > 10)
        log = run(settings(min_duration_ms=20_000), library, null_sut, watch)
    assert log.ending == "stopped"
