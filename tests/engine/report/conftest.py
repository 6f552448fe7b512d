"""Simulated runs with their reports, each made once."""

import copy
import shutil

import pytest

SIMULATED = ("sut=simulated", "tracking=none", "scenario.min_duration_s=5", "report=true")


@pytest.fixture(scope="session")
def runs_kept(tmp_path_factory):
    return tmp_path_factory.mktemp("runs"), {}


@pytest.fixture
def reported(engine, runs_kept):
    """``reported(*overrides)``: a simulated run's record, its folder and its report."""
    root, kept = runs_kept

    def make(*overrides):
        if overrides not in kept:
            ended = engine(*SIMULATED, *overrides, quickly=())
            (path,) = ended.folder.glob("runs/**/report.html")
            folder = root / str(len(kept))
            shutil.copytree(path.parent, folder)
            kept[overrides] = ended.record, folder, path.read_text()
        return copy.deepcopy(kept[overrides])

    return make
