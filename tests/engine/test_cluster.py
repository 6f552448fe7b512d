"""Sweeps whose jobs run in other processes."""

import csv

import pytest

SIMULATED = ("sut=simulated", "scenario.min_duration_s=3", "rules.min_duration_s=3")


def summary(folder):
    (file,) = folder.glob("runs/sweep_*/summary.csv")
    with file.open() as opened:
        return list(csv.DictReader(opened))


@pytest.mark.parametrize(
    "launcher",
    [
        ("hydra/launcher=processes",),
        ("hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"),
    ],
)
def test_jobs_in_other_processes_end_in_one_table_and_code(engine, launcher):
    ended = engine("-m", *launcher, *SIMULATED, "scenario.bound_ms=10,0.5")
    assert ended.code == 2, ended.err
    assert ("side by side" in ended.err) == ("submitit_local" in launcher[0])
    assert [row["verdict"] for row in summary(ended.folder)] == ["VALID", "INVALID"]


def test_jobs_run_one_after_the_other_unless_asked(engine):
    ended = engine("-m", "hydra/launcher=processes", *SIMULATED, "sut.seed=1")
    assert "side by side" not in ended.out + ended.err


def test_results_of_jobs_that_ran_side_by_side_say_so(engine):
    beside = ("hydra/launcher=processes", "hydra.launcher.n_jobs=2")
    ended = engine("-m", *beside, *SIMULATED, "sut.seed=1")
    assert "warning: jobs of the sweep ran side by side" in ended.err
    assert "side by side" in ended.record["deviations"][0]


def test_a_job_that_was_killed_is_not_taken_for_valid(tmp_path):
    from engine.sweep import exit_codes

    (tmp_path / "0_mobilenet").mkdir()
    (tmp_path / "0_mobilenet" / "exit_code").write_text("0")
    (tmp_path / "1_mobilenet").mkdir()
    (tmp_path / ".submitit").mkdir()
    assert sorted(exit_codes(tmp_path)) == [0, 1]
