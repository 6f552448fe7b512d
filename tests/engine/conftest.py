"""The command line in this process, in a folder and a cache of its own."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

QUICKLY = (
    "tracking=none",
    "report=false",
    "dataset.count=8",
    "scenario.min_duration_s=0.3",
    "search.offline_duration_s=0.2",
    "rules.late_wakeup_ms=500",
)


@dataclass(frozen=True)
class Ended:
    """How a command ended; ``record``: its result.json, if it left just one."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def record(self):
        files = self.folder.glob("runs/**/result.json")
        (file,) = [file for file in files if "mlartifacts" not in file.parts]
        return json.loads(file.read_text())


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def engine(tmp_path, monkeypatch, capsys, shared_cache):
    """``engine("sut=null", ...)`` runs the program with these arguments, shortly."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TAILBOUND_CACHE", str(shared_cache))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(*arguments, quickly=QUICKLY):
        from engine.app import main

        monkeypatch.setattr(sys, "argv", ["engine", *quickly, *arguments])
        code = main()
        out, err = capsys.readouterr()
        return Ended(code, out, err, tmp_path)

    return run


@pytest.fixture
def configured():
    """``configured("model=resnet50", ...)`` is the validated config of these overrides."""
    from hydra import compose, initialize_config_dir

    from engine.paths import conf_dir
    from engine.validation import validate

    def make(*overrides):
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return validate(compose("config", overrides=list(overrides)))

    return make
