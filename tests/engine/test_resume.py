"""An interrupted search goes on from its probes."""

import json
import multiprocessing
import os
import signal
import warnings

import pytest

from engine.resume import Kept, kept_probes
from multirun.search import Load, Outcome, Probe

PROBE = Probe(100.0, "probe", Outcome.FAIL, 12.0, 30, 900, 120.0, 9.0)
CONFIRM = Probe(90.0, "confirm", Outcome.PASS, 9.0, 3, 900, 3.0, 10.0)


def load(probe, factor=1.0):
    return Load(probe.rate_qps * factor, probe.kind, 0.1, 3.0)


@pytest.fixture
def path(tmp_path):
    kept = Kept(tmp_path / "searches" / "one.json")
    kept.begin({"unloaded_ms": 2.0})
    kept.add(PROBE)
    kept.add(CONFIRM)
    return kept.path


def test_probes_are_reused_in_their_order_and_marked(path):
    kept = Kept(path)
    assert kept.facts == {"unloaded_ms": 2.0}
    assert kept.reusable == 2
    reused = kept.next(load(PROBE))
    assert reused.reused
    assert reused.rate_qps == PROBE.rate_qps
    assert reused.outcome is Outcome.FAIL


def test_a_run_that_confirmed_is_made_again(path):
    kept = Kept(path)
    kept.next(load(PROBE))
    assert kept.next(load(CONFIRM)) is None


def test_another_rate_ends_the_reuse(path):
    kept = Kept(path)
    assert kept.next(load(PROBE, 1.01)) is None
    assert kept.next(load(PROBE)) is None


def test_what_is_not_reused_yet_survives_a_second_interruption(path):
    Kept(path).begin({"unloaded_ms": 2.0})
    assert Kept(path).reusable == 2


def test_a_finished_search_leaves_nothing(path):
    Kept(path).done()
    assert Kept(path).reusable == 0
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "[]", '{"facts": {}}', '{"facts": {}, "probes": [{}]}'])
def test_a_damaged_file_starts_anew_with_a_warning(path, text, caplog):
    path.write_text(text)
    assert Kept(path).reusable == 0
    assert "damaged" in caplog.text


def test_probes_are_plain_numbers_on_disk(path):
    kept = json.loads(path.read_text())
    assert kept["probes"][0]["outcome"] == "FAIL"
    assert kept["probes"][1]["kind"] == "confirm"


SEARCH = ("sut=simulated", "rules.min_duration_s=30", "sut.seed=7")
QUICKLY = ("tracking=none", "report=false")


def interrupt(progress):
    raise KeyboardInterrupt


def kill(progress):
    os.kill(os.getpid(), signal.SIGKILL)


def fourth_probe_ends(monkeypatch, end):
    """Let ``end`` happen while the fourth probe runs."""
    from multirun import probing

    calls = iter(range(100))

    def evaluate(load, full, seed, run):
        fourth = next(calls) == 3
        return probing.evaluate(
            load, full, seed, lambda s, name, watch: run(s, name, end if fourth else watch)
        )

    monkeypatch.setattr("engine.peak.evaluate", evaluate)


@pytest.mark.parametrize("end", [interrupt, kill])
def test_an_interrupted_search_goes_on_from_its_probes(end, engine, monkeypatch):
    """No more than the running probe is lost, even to a kill -9."""
    with monkeypatch.context() as patched:
        fourth_probe_ends(patched, end)
        if end is interrupt:
            assert engine(*SEARCH, quickly=QUICKLY).code == 130
        else:
            forking = multiprocessing.get_context("fork")
            child = forking.Process(target=engine, args=SEARCH, kwargs={"quickly": QUICKLY})
            with warnings.catch_warnings():  # nothing that runs in virtual time has threads
                warnings.simplefilter("ignore", DeprecationWarning)
                child.start()
            child.join()
            assert child.exitcode == -signal.SIGKILL
    again = engine(*SEARCH, "hydra.run.dir=again", quickly=QUICKLY)
    assert again.code == 0, again.err
    assert "an interrupted search goes on: 3 probes reused" in again.err
    record = json.loads((again.folder / "again" / "result.json").read_text())
    assert [probe["reused"] for probe in record["search"]["probes"]][:4] == [True] * 3 + [False]
    assert "reused" in again.err


def test_what_could_change_the_probes_names_their_file(configured):
    from engine.build import build

    def file(*more):
        return kept_probes(build(configured("sut=simulated", *more), print)).path.name

    changes = ["sut.seed=8", "search.tolerance=0.01", "rules=v4_0", "scenario.bound_ms=9"]
    names = {file(), *(file("model=resnet50", change) for change in changes)}
    assert len(names) == 1 + len(changes)
    assert file() == file("tracking=none", "report=false")
