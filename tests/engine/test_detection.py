"""Object detection as its users meet it: one command, its record, its log and its refusals."""

import json

import numpy as np
import pytest

from engine.datasets import scenes
from evaluators.coco_map import coco_map

SMALL = ("model=ssd_mobilenet", "model.width=0.25", "model.size=160", "precision=fp32")


@pytest.fixture
def ended(engine):
    ended = engine(*SMALL, "scenario=offline", "mode=both", "dataset.count=24")
    assert ended.code == 0, ended.out + ended.err
    return ended


def test_speed_and_quality_in_one_record(ended):
    record = ended.record
    quality, target = record["accuracy"]["quality"], record["accuracy"]["target"]
    assert (quality["metric"], quality["unit"], quality["count"]) == ("coco_map_percent", "%", 24)
    assert 3 < quality["value"] < 70
    assert target["required"] == pytest.approx(0.99 * target["reference"])
    assert record["accuracy"]["published_target"] is None, "it is not asked of synthetic data"
    assert record["performance"]["metric"]["value"] > 0
    assert record["dataset"]["total_count"] == 24


def test_every_output_names_the_metric_and_the_small_network(ended):
    assert f"mAP@[.5:.95]  {ended.record['accuracy']['quality']['value']:.3f} %" in ended.out
    assert "top-1" not in ended.out
    assert "ssd_mobilenet (width 0.25, 160x160)" in ended.out
    deviation = "the network is not the reference one (width 0.25, 160x160)"
    assert deviation in ended.record["deviations"] and deviation in " ".join(ended.out.split())
    assert ended.record["model"]["variant"] == "width 0.25, 160x160"


def test_the_logged_responses_score_the_same(ended):
    """Read as the suite's accuracy script reads its own logs."""
    (file,) = ended.folder.glob("runs/**/accuracy/mlperf_log_accuracy.json")
    rows = json.loads(file.read_text())
    assert sorted(row["qsl_idx"] for row in rows) == list(range(24))
    answers = [np.frombuffer(bytes.fromhex(row["data"]), np.float32).reshape(-1, 7) for row in rows]
    order = [row["qsl_idx"] for row in rows]
    assert all((a[:, 0] == i).all() for a, i in zip(answers, order, strict=True))
    truth = scenes.coco("test", 24, 160)
    found = coco_map(answers, truth, order).value
    assert found == pytest.approx(ended.record["accuracy"]["quality"]["value"])


def test_a_sweeps_table_names_each_metric(engine):
    ended = engine("-m", *SMALL, "scenario=offline,single_stream", "mode=accuracy")
    assert ended.code == 0, ended.err
    table = ended.out.rpartition("why not")[2]
    assert table.count("mAP@[.5:.95]") >= 2
    (file,) = ended.folder.glob("runs/*/summary.csv")
    header, first, *_ = file.read_text().splitlines()
    assert "quality_metric,quality" in header and "coco_map_percent" in first


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["model=ssd_resnet34", "model.width=0.125", "model.size=448", "mode=accuracy"],
            [
                "at width 0.125, 448x448",
                "model.width=0.25 model.size=480 (model.seed=0)",
                "dataset=coco",
            ],
        ),
        (["model=ssd_resnet34", "model.size=300"], ["model.size=300", "at least 448"]),
        (["model=ssd_mobilenet", "dataset=imagenet"], ["dataset=synthetic, coco"]),
        (["model=ssd_mobilenet", "dataset=coco"], ["dataset.path=FOLDER"]),
        (["model=onnx", "model.task=translation"], ["translators cannot so far", "model=gnmt"]),
        (["model=onnx", "+model.width=0.5", "model.path=x.onnx"], ["model.width"]),
        (["model=mobilenet", "model.width=2"], ["model.width=2", "at most 1"]),
    ],
)
def test_a_mistake_ends_with_3_and_one_message(engine, arguments, words):
    ended = engine(*arguments, "scenario=offline")
    assert ended.code == 3
    for word in words:
        assert word in ended.err
    assert "Traceback" not in ended.err
