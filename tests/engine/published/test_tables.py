"""The paper's table and figures over published results, on the screen, in files and in MLflow."""

import csv
import re
from dataclasses import replace
from pathlib import Path

import pytest

from engine.published.command import main
from engine.published.entry import Entry
from engine.published.plots import coverage_plot, relative_plot, server_plot
from engine.published.tables import coverage, relative_performance, server_against_offline
from engine.published.tree import read_repository

SHARED = Path(__file__).parents[4] / "shared" / "data" / "published_v0.5"


def entry(system, scenario, value, model="resnet50", unit="samples/s"):
    return Entry(
        division="closed",
        submitter="us",
        system=system,
        model=model,
        scenario=scenario,
        round="v0_5",
        metric=scenario,
        value=value,
        unit=unit,
        verdict="VALID",
        runs=1,
        quality=None,
        path=f"{system}/{model}/{scenario}",
    )


def test_table_vi_counts_models_and_scenarios():
    rows = coverage(
        [entry("a", "server", 1), entry("b", "server", 2), entry("a", "offline", 3, model="gnmt")]
    )
    assert [row["model"] for row in rows] == ["gnmt", "resnet50", "total"]
    assert rows[1]["server"] == 2 and rows[1]["offline"] == 0
    assert rows[2] == {
        "model": "total",
        "single_stream": 0,
        "multi_stream": 0,
        "server": 2,
        "offline": 1,
    }


def test_figure_6_wants_both_scenarios_of_one_system():
    rows = server_against_offline(
        [entry("a", "server", 60), entry("a", "offline", 100), entry("b", "server", 5)]
    )
    assert [(row["system"], row["server_over_offline"]) for row in rows] == [("a", 0.6)]


def test_figure_6_keeps_systems_models_and_submitters_apart():
    rows = server_against_offline(
        [
            entry("b", "offline", 40, model="gnmt"),
            entry("b", "server", 30, model="gnmt"),
            entry("a", "server", 60),
            entry("a", "offline", 100),
            entry("a", "offline", 999, model="gnmt"),
            replace(entry("a", "offline", 999), submitter="them"),
            entry("c", "server", 1),
            entry("c", "offline", 0),
            entry("a", "single_stream", 7, unit="ms"),
        ]
    )
    assert [(row["system"], row["model"], row["server_over_offline"]) for row in rows] == [
        ("a", "resnet50", 0.6),
        ("b", "gnmt", 0.75),
    ]


def test_a_tree_with_both_scenarios_gives_figure_6(good_trees, tmp_path, capsys):
    assert main([str(good_trees["v5_0"]), "--out", str(tmp_path)]) == 0
    assert "server against offline (1)" in capsys.readouterr().out
    with (tmp_path / "server_against_offline.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["submitter"], row["system"], row["model"]) == ("Us", "box", "resnet50")
    server, offline = float(row["server_qps"]), float(row["offline_samples_per_s"])
    # What was simulated: Poisson arrivals at 5/s, and a system that takes 8 ms for a sample.
    assert (server, offline) == (pytest.approx(5, rel=0.05), pytest.approx(125))
    assert float(row["server_over_offline"]) == pytest.approx(server / offline)
    assert (tmp_path / "server_against_offline.svg").read_text().startswith("<?xml")


# The paper's Table VI: results of the closed division by single-stream, multi-stream, server and
# offline.
PAPER = {
    "gnmt": (2, 0, 6, 11),
    "mobilenet": (18, 3, 5, 11),
    "resnet50": (19, 5, 10, 20),
    "ssd_mobilenet": (8, 3, 5, 13),
    "ssd_resnet34": (4, 4, 7, 12),
    "total": (51, 15, 33, 67),
}


@pytest.mark.skipif(not SHARED.is_dir(), reason="the larger sample is not here")
def test_the_larger_sample_is_a_part_of_table_vi_and_has_no_pair_for_figure_6():
    closed = [e for e in read_repository(SHARED).entries if e.division == "closed"]
    found = {row.pop("model"): tuple(row.values()) for row in coverage(closed)}
    assert found.keys() == PAPER.keys() and found["total"] == (10, 3, 7, 9)
    for model, counts in found.items():
        assert all(ours <= papers for ours, papers in zip(counts, PAPER[model], strict=True))
    assert server_against_offline(closed) == []


def test_figure_8_is_relative_to_the_slowest():
    rows = relative_performance(
        [
            entry("a", "offline", 50),
            entry("b", "offline", 500),
            entry("a", "single_stream", 8.0, unit="ms"),
            entry("b", "single_stream", 2.0, unit="ms"),
        ]
    )
    found = {(row["scenario"], row["system"]): row["relative"] for row in rows}
    assert found == {
        ("offline", "a"): 1,
        ("offline", "b"): 10,
        ("single_stream", "a"): 1,
        ("single_stream", "b"): 4,
    }


def test_the_pictures_show_the_rows():
    entries = [entry("a", "server", 60), entry("a", "offline", 100), entry("b", "offline", 300)]
    shares = server_plot(server_against_offline(entries))
    assert [bar.get_width() for bar in shares.axes[0].patches] == [0.6]
    points = relative_plot(relative_performance(entries)).axes[0].collections[0].get_offsets()
    assert sorted(map(tuple, points.tolist())) == [(0, 1), (0, 3), (1, 1)]
    bars = coverage_plot(coverage(entries)).axes[0].patches
    assert sum(bar.get_height() for bar in bars) == 3
    assert server_plot([]) is relative_plot([]) is coverage_plot(coverage([])) is None


def test_the_command_shows_and_writes_them(repository, tmp_path, capsys):
    out = tmp_path / "tables"
    assert main([str(repository), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    for word in ("results (4)", "coverage", "findings", "103,532|1.0353e\\+05"):
        assert re.search(word if "|" in word else re.escape(word), said)
    with (out / "results.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 4
    assert (out / "coverage.svg").read_text().startswith("<?xml")
    assert (out / "relative_performance.svg").is_file()
    assert "server against offline (0)" in said  # no system of the sample has both
    assert not list(out.glob("server_against_offline.*")) and "server_against_offline." not in said


def test_rows_become_runs_once(repository, store):
    import mlflow

    assert main([str(repository), "--mlflow", store]) == 0
    assert main([str(repository), "--mlflow", store]) == 0
    client = mlflow.MlflowClient(store)
    experiment = client.get_experiment_by_name("resnet50/server")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.metrics["server_qps"] == pytest.approx(103_532.13, abs=0.01)
    assert run.data.tags["sut"] == "T4x20"
    assert run.data.tags["rules"] == "v0_5"


@pytest.mark.parametrize("arguments", [[], ["/nowhere/at/all"], ["."], ["--flag"]])
def test_what_cannot_be_read_is_one_message(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 3
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
