"""Translation as its users meet it: one command, its record, its log and its refusals."""

import json
from pathlib import Path

import numpy as np
import pytest

from engine.datasets.language import pair
from evaluators.bleu import bleu

SMALL = ("model=gnmt", "model.width=0.0625")
FITTED = ("model=gnmt", "model.width=0.25")
SAMPLE = Path(__file__).parents[1] / "data" / "wmt16"


def test_speed_and_quality_in_one_record(engine):
    few = ("dataset.count=4", "sut.max_batch=4", "rules.scenarios.offline.min_sample_count=4")
    few += ("scenario.min_query_count=4",)
    ended = engine(*FITTED, "scenario=offline", "mode=both", *few)
    assert ended.code == 0, ended.out + ended.err
    record = ended.record
    quality, target = record["accuracy"]["quality"], record["accuracy"]["target"]
    assert (quality["metric"], quality["count"]) == ("bleu", 4)
    assert 10 < quality["value"] < 80 and "tok:13a" in quality["note"]
    assert target["required"] == pytest.approx(0.99 * target["reference"])
    assert "gnmt (width 0.25)" in ended.out and "BLEU" in ended.out
    (file,) = ended.folder.glob("runs/**/accuracy/mlperf_log_accuracy.json")
    rows = json.loads(file.read_text())
    order = [row["qsl_idx"] for row in rows]
    assert sorted(order) == list(range(4))
    answers = [np.frombuffer(bytes.fromhex(row["data"]), np.uint8) for row in rows]
    truth = [" ".join(pair("test", i).target).replace("@@ ", "") for i in range(4)]
    assert bleu(answers, truth, order).value == pytest.approx(quality["value"])


@pytest.mark.parametrize("scenario", ["single_stream", "multi_stream", "server"])
def test_every_other_scenario_runs(engine, scenario):
    keys = ("scenario.min_query_count=4", "search=none", "scenario.target_qps=3")
    keys += ("rules.early_stopping=false",)
    keys += ("scenario.samples_per_query=2",) * (scenario == "multi_stream")
    ended = engine(*SMALL, f"scenario={scenario}", *keys)
    assert ended.code in (0, 2), ended.err
    assert ended.record["performance"]["metric"]["value"] > 0
    if scenario == "server":
        (row,) = [r for r in ended.record["performance"]["constraints"] if "latency" in r["name"]]
        assert row["name"].startswith("p97") and "250 ms" in row["required"]


def test_quick_has_the_bound_and_percentile_of_the_rules(configured):
    quick, official = (configured("model=gnmt", f"rules={r}").rules for r in ("quick", "v0_5"))
    assert quick.server_bounds_ms["gnmt"] == official.server_bounds_ms["gnmt"] == 250
    assert quick.tail_percentiles == official.tail_percentiles == {"gnmt": 97}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([*SMALL, "mode=accuracy"], ["at width 0.0625", "model.width=0.25 (model.seed=0)"]),
        (["model=gnmt", "dataset=coco"], ["dataset=synthetic, wmt16"]),
        ([*FITTED, "dataset=wmt16"], ["dataset.path=FOLDER"]),
        ([*SMALL, "+model.size=300"], ["model.size=300", "sentences"]),
        (
            [*FITTED, "dataset=wmt16", f"dataset.path={SAMPLE}", "dataset.count=3", "mode=both"],
            ["made here, not trained on wmt16", "model.weights=FILE"],
        ),
    ],
)
def test_a_mistake_ends_with_3_and_one_message(engine, arguments, words):
    ended = engine(*arguments, "scenario=offline")
    assert ended.code == 3
    for word in words:
        assert word in ended.err
    assert "Traceback" not in ended.err
