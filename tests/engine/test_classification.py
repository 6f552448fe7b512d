"""Image classification as its users meet it: the labels that are logged, and broken steps."""

import json

import numpy as np
import pytest

from engine.datasets import synthetic

COUNT = 24
CHEAP = ("precision=fp32", "mode=accuracy", "scenario=offline", f"dataset.count={COUNT}")


@pytest.mark.parametrize("output", ["null", "logits"])
def test_the_log_holds_labels(engine, output):
    """The suite's script for ImageNet compares what is logged with val_map.txt's numbers, also of
    a network whose class 0 is background."""
    ended = engine("model=mobilenet", f"model.output={output}", *CHEAP)
    assert ended.code == 0, ended.out + ended.err
    (file,) = ended.folder.glob("runs/**/accuracy/mlperf_log_accuracy.json")
    rows = {row["qsl_idx"]: bytes.fromhex(row["data"]) for row in json.loads(file.read_text())}
    predicted = [np.frombuffer(rows[i], np.int64).item() for i in range(COUNT)]
    right = (predicted == synthetic.labels("test", COUNT)).sum()
    assert right == ended.record["accuracy"]["quality"]["details"]["correct"] > COUNT / 2


def test_channels_in_the_wrong_order_show(engine):
    ended = engine("model=mobilenet", *CHEAP, "model.preprocessing.channels=bgr")
    assert ended.record["accuracy"]["quality"]["value"] < 40
    assert "model.preprocessing.channels is not the reference model's" in ended.record["deviations"]


def test_a_network_that_gets_nothing_right_meets_no_target(engine):
    """Such as one whose images arrive as zeros: 99 % of nothing is not a target."""
    ended = engine("model=mobilenet", *CHEAP, "dataset.count=2", "model.preprocessing.scale=1e9")
    assert ended.record["accuracy"]["target"]["reference"] == 0
    assert ended.code == 2
    assert "FP32 gets nothing right" in " ".join(ended.out.split())
