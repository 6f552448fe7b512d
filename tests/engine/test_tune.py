"""Settings of the system that are searched together with the rate."""

import json

import pytest

SIMULATED = (
    "sut=simulated",
    "model=resnet50",
    "sut.batch=[1,8]",
    "sut.service_ms=[2,6]",
    "scenario.min_duration_s=20",
)


def test_the_best_setting_is_found_and_reproduced_by_one_override(engine):
    grid = (
        "search.tune.enabled=true",
        "search.tune.max_batch=[1,4,8]",
        "search.tune.workers=[1,2]",
    )
    ended = engine(*SIMULATED, *grid)
    assert ended.code == 0, ended.err
    tuning = ended.record["tuning"]
    # Two workers serve more than one, and large batches more than small ones.
    assert tuning["best"] == {"workers": 2, "max_batch": 8}
    assert len(tuning["tried"]) == 6
    assert ended.record["config"]["sut"]["workers"] == 2
    peak = ended.record["search"]["best_qps"]
    best = next(t for t in tuning["tried"] if t["setting"] == tuning["best"])
    assert best["low_qps"] * 0.95 < peak < best["high_qps"]

    (experiment,) = (word for word in tuning["command"].split() if word.startswith("experiment="))
    before = set(ended.folder.glob("runs/**/result.json"))
    again = engine(*SIMULATED, experiment)
    (new,) = set(again.folder.glob("runs/**/result.json")) - before
    assert json.loads(new.read_text())["config"]["sut"]["max_batch"] == 8
    assert json.loads(new.read_text())["search"]["best_qps"] == pytest.approx(peak, rel=0.05)


def test_a_setting_that_cannot_win_costs_little(engine):
    grid = ("search.tune.enabled=true", "search.tune.workers=[4,1]")
    ended = engine(*SIMULATED, *grid)
    fast, slow = ended.record["tuning"]["tried"]
    assert fast["dropped"] is None
    assert slow["dropped"].startswith("offline it reaches")
    assert slow["peak_qps"] is None


def test_a_system_without_the_key_is_named(engine):
    ended = engine(*SIMULATED, "search.tune.enabled=true", "search.tune.threads=[1,2]")
    assert ended.code == 3
    assert "search.tune.threads: sut=simulated has no such key" in ended.err


def test_only_a_server_search_is_tuned(engine):
    ended = engine(*SIMULATED, "scenario=offline", "search.tune.enabled=true")
    assert ended.code == 3
    assert "scenario=server" in ended.err
