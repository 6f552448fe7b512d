"""Ctrl-C, SIGTERM and SIGHUP: nothing that was measured is lost, and what happened is said."""

import signal

import pytest

from engine import signals


@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGINT, "Interrupted"), (signal.SIGTERM, "Ended by SIGTERM")]
)
def test_who_ends_it_before_it_measures_is_told_so(engine, monkeypatch, number, words):
    monkeypatch.setattr("engine.build.build", lambda *_: signal.raise_signal(number))
    ended = engine("sut=null", "scenario=offline")
    assert ended.code == 128 + number
    (line,) = ended.err.splitlines()
    assert line.startswith(f"{words} before anything was measured. Start it again. Record: ")
    assert line.endswith("result.json")
    assert (ended.record["verdict"], ended.record["exit_code"]) == ("INTERRUPTED", ended.code)
    assert ended.record["message"] == f"{words} before anything was measured."
    assert ended.out == ""


def test_sigterm_keeps_what_was_measured_and_ends_a_sweep(engine, monkeypatch):
    def ending(*_):
        def watch(progress):
            if progress.completed > 100:
                signal.raise_signal(signal.SIGTERM)
            return False

        return watch

    monkeypatch.setattr("engine.report.progress.Reporter.follow", ending)
    ended = engine(
        "-m", "sut=null", "scenario=single_stream", "sut.workers=1,2", "scenario.min_duration_s=9"
    )
    assert ended.code == 143, ended.err
    record = ended.record  # of the first job: the second does not begin
    assert (record["verdict"], record["exit_code"]) == ("INTERRUPTED", 143)
    assert record["message"] == "Ended by SIGTERM; what was measured until then is in the record."
    assert record["performance"]["statistics"]["query_count"] > 100
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_hang_up_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.heeded():
            signal.raise_signal(signal.SIGHUP)  # as under nohup
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with pytest.raises(KeyboardInterrupt), signals.heeded():
            signal.raise_signal(signal.SIGHUP)
        assert (signals.exit_code(), signals.interrupted()) == (129, "Ended by SIGHUP")
    finally:
        signal.signal(signal.SIGHUP, before)
