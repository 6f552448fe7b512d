"""The bench compares the same work: every sample once in both loops, on the same sessions."""

import subprocess
import sys

import numpy as np
import pytest

from sut.bench import cpu
from sut.bench.__main__ import main
from sut.bench.cpu import Shape


@pytest.fixture(params=cpu.SYSTEMS)
def system(request):
    pytest.importorskip(request.param)
    return request.param


def test_the_bare_loop_runs_each_block_in_turn(library):
    samples, seen = library.load(np.arange(10)), []
    cost = cpu.bare([lambda block: seen.append(block[:, 0].tolist())], samples, 4, 3)
    assert cost.wall_s > 0 and cost.cpu_s > 0
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 2, 3]]


def test_workers_share_the_bare_loops_blocks(library):
    samples, seen = library.load(np.arange(8)), []
    cpu.bare([lambda block: seen.append(block[0, 0])] * 3, samples, 2, 40)
    assert sorted(seen) == sorted([0, 2, 4, 6] * 10)


def test_both_loops_are_timed_on_the_systems_own_sessions(system, network, library):
    sut = cpu.make(system, network(), "y", Shape(batch=4, workers=2, threads=1))
    found = cpu.compare(sut, cpu.calls(sut, "y"), library.load(np.arange(64)), 3, 0.05)
    assert found.bare > 0 and found.loadgen > 0
    assert 0.05 < found.ratio < 20 and 0.05 < found.cpu_ratio < 20


def test_the_best_shape_is_one_of_those_tried(system, network, library, monkeypatch):
    monkeypatch.setattr(cpu, "TRIAL_S", 0.01)
    shape = cpu.best_shape(system, network(), "y", library.load(np.arange(64)))
    assert shape.batch in cpu.BATCHES and shape.workers >= 1 and shape.threads >= 1


def test_a_system_that_fails_ends_the_bench(network, library):
    sut = cpu.make("onnxruntime", network(), "nonsense", Shape(1, 1, 1))
    with pytest.raises(RuntimeError, match="onnxruntime failed"):
        cpu.through_loadgen(sut, library.load(np.arange(8)), 10, seed=0)


def test_each_case_has_its_line(network, library, monkeypatch, capsys):
    monkeypatch.setattr(cpu, "TRIAL_S", 0.01)
    prepared = network(), "y", library.load(np.arange(64))
    monkeypatch.setattr(cpu, "_prepared", lambda model, precision: prepared)
    chosen = ["--models", "mobilenet", "--precisions", "fp32", "int8", "--systems", "onnxruntime"]
    monkeypatch.setattr(sys, "argv", ["sut.bench", "--rounds", "1", "--seconds", "0.02", *chosen])
    assert main() == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    cases = [line for line in lines if line[0] == "mobilenet"]
    assert [line[:3] for line in cases] == [
        ["mobilenet", "fp32", "onnxruntime"],
        ["mobilenet", "int8", "onnxruntime"],
    ]
    assert all(float(figure) > 0 for line in cases for figure in line[-4:])


@pytest.mark.slow
def test_the_command_prints_a_line_for_each_case(tmp_path, monkeypatch):
    monkeypatch.setenv("TAILBOUND_CACHE", str(tmp_path))
    chosen = ("--models", "mobilenet", "--precisions", "fp32", "--systems", "onnxruntime")
    command = [sys.executable, "-m", "sut.bench", "--rounds", "1", "--seconds", "0.1", *chosen]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    (line,) = [line for line in ended.stdout.splitlines() if line.startswith("mobilenet")]
    assert line.split()[:3] == ["mobilenet", "fp32", "onnxruntime"]


def test_simulated_fleets_are_timed(monkeypatch, capsys):
    asked = ["sut.bench", "--simulated", "--queries", "2000", "--rounds", "1"]
    monkeypatch.setattr(sys, "argv", asked)
    assert main() == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if "2,000" in line]
    assert len(rows) == 3
    for row in rows:
        ran, judged = map(float, row.split()[-2:])
        assert 0 < ran <= judged < 60
