"""Settings of the system that are searched together with the rate."""

import json

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from engine.paths import conf_dir
from engine.tune import write_experiment

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
    first = ended.record
    tuning = first["tuning"]
    # Two workers serve more than one, and large batches more than small ones.
    assert tuning["best"] == {"workers": 2, "max_batch": 8}
    assert len(tuning["tried"]) == 6
    assert first["config"]["sut"]["workers"] == 2
    peak = first["search"]["best_qps"]
    best = next(t for t in tuning["tried"] if t["setting"] == tuning["best"])
    assert best["low_qps"] * 0.95 < peak < best["high_qps"]

    assert tuning["command"].startswith("python -m engine experiment=")
    again = engine(tuning["command"].split()[-1], "hydra.run.dir=again", quickly=())
    record = json.loads((again.folder / "again" / "result.json").read_text())
    for group in ("model", "scenario", "sut", "precision", "rules"):
        assert record["config"][group] == first["config"][group]
    assert not record["config"]["search"]["tune"]["enabled"]
    assert record["search"]["best_qps"] == pytest.approx(peak, rel=0.05)


def test_a_tuned_experiment_builds_on_the_one_it_was_tuned_with(tmp_path):
    file = write_experiment(
        "mine",
        ["experiment=squeezenet_photos", "sut=null", "scenario.bound_ms=7", "mode=both"],
        {"workers": 2},
        tmp_path,
    )
    written = OmegaConf.load(file)
    assert written.defaults == ["squeezenet_photos", {"override /sut": "null"}, "_self_"]
    assert (written.scenario.bound_ms, written.mode, written.sut.workers) == (7, "both", 2)
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose(
            "config",
            ["experiment=mine", f"hydra.searchpath=[file://{tmp_path}]"],
        )
    assert (config.sut.kind, config.dataset.name) == ("null", "photos")
    assert config.scenario.bound_ms == 7
    assert config.sut.workers == 2


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
