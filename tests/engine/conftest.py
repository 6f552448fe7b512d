"""The command line in this process, in a folder and a cache of its own."""

import json
import shutil
import sys
import warnings
from dataclasses import dataclass, replace
from functools import cache
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
    # Hydra composes everything once more to look for hydra.mode, which no test sets.
    monkeypatch.setattr("hydra._internal.hydra.Hydra.get_mode", lambda *_, **__: None)

    def run(*arguments, quickly=QUICKLY):
        from engine.app import main

        monkeypatch.setattr(sys, "argv", ["engine", *quickly, *arguments])
        code = main()
        out, err = capsys.readouterr()
        return Ended(code, out, err, tmp_path)

    return run


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """An MLflow store without runs: MLflow takes seconds to lay one out."""
    file = tmp_path_factory.mktemp("store") / "store.db"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def store(tmp_path, empty_store):
    """The address of an MLflow store of this test's own."""
    shutil.copyfile(empty_store, tmp_path / "store.db")
    return f"sqlite:///{tmp_path}/store.db"


@cache
def composed(*overrides):
    """The validated config of these overrides."""
    from hydra import compose, initialize_config_dir

    from engine.paths import conf_dir
    from engine.validation import validate

    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return validate(compose("config", overrides=list(overrides)))


@pytest.fixture
def configured():
    """``configured("model=resnet50", ...)`` is the validated config of these overrides."""
    return composed


SUBMISSION = {
    "submitter": "Us",
    "category": "available",
    "system_name": "box",
    "system_type": "edge",
    "system.framework": "ONNX Runtime 1",
    "system.host_memory_configuration": "2x 8 GB",
    "system.host_storage_type": "SSD",
    "system.host_networking": "N/A",
    "system.host_network_card_count": "0",
    "system.host_networking_topology": "N/A",
    "system.cooling": "air",
}
# By the name of the tree: its rules, its division, and its scenarios.
GOOD = {
    "open": ("v6_1", "open", ["offline", "server"]),
    "closed": ("v6_1", "closed", ["offline", "single_stream", "multi_stream"]),
    "v5_0": ("v5_0", "closed", ["offline", "server"]),
}
SUBMITTING = [f"submission.{key}={value}" for key, value in SUBMISSION.items()]


def submitted(root, scenario, rules, division, library, answering):
    """Put a result of ResNet-50 into the tree ``root``: 600 s in virtual time, and its audits."""
    from engine.plan import accuracy_settings, full_settings
    from engine.record import Record
    from engine.submission.write import add
    from loadgen import Issue, judge, run
    from sut.curve import ServiceCurve
    from sut.simulated import SimulatedSut

    asked = [f"rules={rules}", "model=resnet50", f"scenario={scenario}", "sut=simulated"]
    asked += [f"submission.path={root}", f"submission.division={division}", *SUBMITTING]
    if rules == "v5_0":
        asked.append("submission.system_type=datacenter")
    config = composed(*asked)
    record = Record(root.parent / f"run_{scenario}_{division}", config, "python -m engine")
    network = {"name": "resnet50", "weights": "resnet50.onnx", "sha256": "0" * 64}
    record.data |= {
        "dataset": {"name": "imagenet", "total_count": 50_000, "performance_sample_count": 1024},
        "sut": {"name": "box"},
        "model": {**network, "inputs": [{"dtype": "float32"}]},
    }
    rate = 5.0 if scenario == "server" else 130.0
    log = run(full_settings(config, rate), library, SimulatedSut(ServiceCurve((1,), (8.0,))))
    record.performance(log, judge(log))
    at_once = replace(library, performance_count=library.total_count)
    answered = run(accuracy_settings(config, 1e6), at_once, answering)
    record.logs("accuracy", answered, judge(answered))
    quality = {"metric": "top1_percent", "value": 76.2, "count": 50_000, "unit": "%"}
    record.data["accuracy"] = {"quality": quality}
    record.data["audits"] = [
        {"audit": name, "outcome": "PASS", "sentence": "It is the same.", "figures": {"ratio": 1.0}}
        for name in ("same_answers", "caching", "seeds")
    ]
    asked_for = {
        "same_answers": {"accuracy_log_probability": 0.01},
        "caching": {"issue": Issue.SAME, "same_index": 3},
    }
    for name, changes in asked_for.items():
        made = replace(log, settings=replace(log.settings, **changes))
        record.logs(f"audits/{name}", made, judge(made))
    record.finish("VALID", 0)
    return add(config, record)


@pytest.fixture(scope="session")
def good_trees(tmp_path_factory, library_of, scripted_sut):
    """Trees in which nothing is wrong, each made when it is first asked for."""

    class Trees(dict):
        def __missing__(self, name):
            rules, division, scenarios = GOOD[name]
            self[name] = tmp_path_factory.mktemp(name) / "tree"
            for scenario in scenarios:
                library, answering = library_of(50_000, 1024), scripted_sut(max_batch=10_000)
                submitted(self[name], scenario, rules, division, library, answering)
            return self[name]

    return Trees()
