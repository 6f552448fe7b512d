"""The benchmark runs and its figures are of the right order."""

import importlib.util

import pytest

from loadgen.bench.__main__ import figures, main, measure, show


@pytest.mark.parametrize("case", ["single_stream", "generation", "offline"])
@pytest.mark.parametrize("system", ["python", "native"])
def test_a_case_yields_its_figures(case, system):
    found = figures(case, system)
    assert found
    assert all(value >= 0 for value in found.values())


def test_systems_run_in_turn_in_processes_of_their_own(capsys):
    found = measure("generation", rounds=1)
    assert {"python", "native"} <= set(found)
    show("generation", found)
    line = capsys.readouterr().out
    assert line.split()[:2] == ["generation", "s"]


def test_a_ratio_above_one_is_in_our_favour(capsys):
    same = {"queries/s": 4e6, "s": 0.5}
    show("made_up", {"python": same, "native": same, "official": {"queries/s": 1e6, "s": 2.0}})
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["4", "4"]


@pytest.mark.skipif(
    importlib.util.find_spec("mlperf_loadgen") is None, reason="mlcommons_loadgen is not installed"
)
def test_the_official_one_is_measured_alike():
    assert figures("single_stream", "official")["p50 us"] > 0


def test_an_unknown_case_is_refused(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["bench", "--only", "nothing"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert "invalid choice: 'nothing'" in capsys.readouterr().err
