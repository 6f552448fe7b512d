"""MLflow holds what the record holds, and its absence loses nothing."""

import json
from datetime import datetime

import numpy as np
import pytest
from PIL import Image

SERVER = ("sut=null", "sut.delay_us=500", "scenario=server", "scenario.bound_ms=20")


@pytest.fixture
def client():
    from mlflow import MlflowClient

    return lambda folder: MlflowClient(f"sqlite:///{folder}/runs/mlflow.db")


def runs_of(client, name):
    return client.search_runs([client.get_experiment_by_name(name).experiment_id])


def test_a_search_is_a_parent_run_with_a_child_for_each_probe(engine, client, tmp_path):
    ended = engine(*SERVER, "tracking=mlflow")
    assert ended.code == 0, ended.err
    record = ended.record
    store = client(tmp_path)
    runs = runs_of(store, "mobilenet/server")
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    (parent,) = [run for run in runs if run not in children]
    assert len(children) == len(record["search"]["probes"])
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert {run.data.tags["verdict"] for run in children} <= {"PASS", "FAIL", "UNDECIDED"}
    assert parent.data.tags["verdict"] == "VALID"
    assert parent.data.params["scenario.name"] == "server"
    assert parent.data.params["scenario.bound_ms"] == "20.0"
    metrics, statistics = parent.data.metrics, record["performance"]["statistics"]
    assert metrics["peak_qps"] == record["search"]["best_qps"]
    assert metrics["latency_p99_ms"] == statistics["latency_ms"]["p99"]
    files = {file.path for file in store.list_artifacts(parent.info.run_id)}
    assert {"latency_cdf.png", "search.png", "result.json", "run_log.npz"} <= files
    assert "config.yaml" in files
    measured = [datetime.fromisoformat(record[key]).timestamp() for key in ("created", "ended")]
    assert [parent.info.start_time / 1000, parent.info.end_time / 1000] == measured
    pictures = list(tmp_path.glob("runs/mlartifacts/**/*.png"))
    assert {file.name for file in pictures} == {"latency_cdf.png", "search.png"}
    for file in pictures:
        with Image.open(file) as image:
            assert image.width > 500
            assert np.asarray(image.convert("L")).std() > 5


def test_the_environment_names_the_store(engine, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/elsewhere.db")
    ended = engine("sut=null", "scenario=single_stream", "tracking=mlflow")
    assert ended.code == 0
    assert (tmp_path / "elsewhere.db").is_file()
    assert not (tmp_path / "runs" / "mlflow.db").exists()


def test_a_store_that_cannot_be_reached_is_a_warning(engine):
    ended = engine(
        "sut=null",
        "scenario=single_stream",
        "tracking=mlflow",
        "tracking.uri=sqlite:////proc/nowhere/mlflow.db",
    )
    assert ended.code == 0
    assert "warning: MLflow at" in ended.err
    assert ended.record["verdict"] == "VALID"


def test_metrics_have_names_that_mlflow_takes():
    import re

    from engine.tracking import metrics_of

    record = {
        "performance": {
            "metric": {"name": "server_qps", "value": 3.0},
            "statistics": {"latency_ms": {"p99.9": 1.0, "mean": 2.0}, "wake_late_us": {"p50": 3.0}},
        },
        "search": {"best_qps": None, "unloaded_ms": 2.5},
        "plan": {"best": {"peak_qps": 70.0}},
        "accuracy": {
            "quality": {"metric": "coco_map_percent", "value": 21.5},
            "target": {"reference": 22.0},
        },
    }
    metrics = metrics_of(record)
    assert metrics["coco_map_percent"] == 21.5 and metrics["fp32_coco_map_percent"] == 22.0
    assert metrics["latency_p99.9_ms"] == 1.0
    assert metrics["unloaded_latency_ms"] == 2.5
    assert "peak_qps" not in metrics
    assert metrics["predicted_peak_qps"] == 70.0
    assert all(re.fullmatch(r"[\w.\- /]+", name) for name in metrics)


def test_tracking_none_leaves_no_store(engine):
    ended = engine("sut=null", "scenario=single_stream")
    assert not list(ended.folder.glob("runs/mlflow.db"))
    assert json.dumps(ended.record)
