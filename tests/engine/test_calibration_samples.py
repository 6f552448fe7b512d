"""What a result says of the samples that its network was calibrated with."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine.submission import documents

SAMPLE = Path(__file__).parents[1] / "data" / "imagenet"
NAME = "ILSVRC2012_val_0000000{}.JPEG\n"


@pytest.fixture
def network(tmp_path):
    """A convolution with a class for each of 1000 labels, its planes' means: an ONNX file."""
    weight = np.random.default_rng(0).standard_normal((1000, 3, 1, 1)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "weight"], ["planes"]),
            helper.make_node("GlobalAveragePool", ["planes"], ["pool"]),
            helper.make_node("Flatten", ["pool"], ["scores"]),
        ],
        "means",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 1000])],
        [numpy_helper.from_array(weight, "weight")],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


@pytest.mark.parametrize(
    ("listed", "evaluated", "note"),
    [((4, 3), 0, None), ((4, 2), 1, "1 of the 2 calibration images is evaluated too")],
)
def test_a_result_says_how_many_are_evaluated_too(
    engine, network, tmp_path, listed, evaluated, note
):
    names = tmp_path / "names.txt"
    names.write_text("".join(NAME.format(number) for number in listed))
    ended = engine(
        "model=onnx",
        f"model.path={network}",
        "model.preprocessing.size=16",
        "model.preprocessing.resize=16",
        "dataset=imagenet",
        f"dataset.path={SAMPLE}",
        "dataset.count=2",
        f"dataset.calibration_list={names}",
        "precision=int8",
        "precision.calibration_count=2",
        "mode=accuracy",
    )
    model = ended.record["model"]
    assert model["calibrated_on_evaluated"] == evaluated
    said = f"{evaluated or 'none'} of which {'is' if evaluated else 'are'} evaluated"
    assert said in documents.calibration(ended.record)
    if note:
        assert note in model["quantisation"] and note in " ".join(ended.out.split())
    else:
        assert "evaluated too" not in model["quantisation"] + ended.out


@pytest.mark.parametrize(
    ("model", "precision", "transformed", "calibrated"),
    [
        ("resnet50", "int8", "quantised to int8 after training, calibrated on 64 samples", True),
        ("gnmt", "int8", "quantised to int8 after training, without samples", False),
        ("gnmt", "int4", "quantised to int4 after training, without samples", False),
        ("resnet50", "fp16", "cast to fp16", False),
        ("resnet50", "bf16", "cast to bf16", False),
        ("resnet50", "fp32", "none", False),
    ],
)
def test_a_submission_says_how_weights_were_made(
    configured, model, precision, transformed, calibrated
):
    config = dataclasses.asdict(configured(f"model={model}", f"precision={precision}"))
    data = {"model": {"name": model}, "dataset": {"name": "synthetic"}, "config": config}
    assert documents.transformed(data) == transformed
    assert ("Not calibrated" not in documents.calibration(data)) == calibrated
