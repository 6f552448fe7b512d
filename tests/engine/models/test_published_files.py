"""Files with the outputs that the suite's published ones have, small, run as they are."""

import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine.cache import Cache
from engine.config import Outputs, Precision
from engine.errors import ConfigError
from engine.models import prepare
from engine.models.published import as_it_is

FLOAT, INT64, UINT8 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.UINT8
PREDICTIONS = "MobilenetV1/Predictions/Reshape_1:0"
BOXES = np.array([[[0.1, 0.2, 0.5, 0.9], [0, 0, 1, 1], [0, 0, 0, 0]]], np.float32)


def saved(path, nodes, inputs, outputs, constants, opset):
    graph = helper.make_graph(
        [helper.make_node(*node[:3], **(node[3] if len(node) > 3 else {})) for node in nodes],
        "published",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=6), path)
    return str(path)


def classifier(path, opset=11, scores="softmax_tensor:0"):
    """Scores are the means of the colours, best first: classes 0, 1 and 2."""
    return saved(
        path,
        [
            ("GlobalAveragePool", ["input_tensor:0"], ["pool"]),
            ("Flatten", ["pool"], ["flat"]),
            ("Softmax", ["flat"], [scores]),
            ("ArgMax", ["flat"], ["ArgMax:0"], {"axis": 1, "keepdims": 0}),
        ],
        [("input_tensor:0", FLOAT, ["n", 3, 224, 224])],
        [("ArgMax:0", INT64, ["n"]), (scores, FLOAT, ["n", 3])],
        {},
        opset,
    )


def detector(path, pixels, names, opset, batch=1):
    """Three fixed boxes, the last one's score zero; the first one's is the image's first number."""
    boxes, scores, classes = names
    first = [0, 0, 0, 0]
    return saved(
        path,
        [
            ("Cast", ["image_in"], ["numbers"], {"to": FLOAT}),
            ("Slice", ["numbers", "from", "to"], ["corner"]),
            ("Reshape", ["corner", "flat"], ["one"]),
            ("Mul", ["one", "shares"], [scores]),
            ("Identity", ["boxes"], [boxes]),
            ("Identity", ["numbered"], [classes]),
        ],
        [("image_in", UINT8 if pixels else FLOAT, [batch, *((8, 8, 3) if pixels else (3, 8, 8))])],
        [(boxes, FLOAT, [1, 3, 4]), (scores, FLOAT, [1, 3]), (classes, FLOAT, [1, 3])],
        {
            "boxes": BOXES,
            "shares": np.array([[1.0, 0.5, 0.0]], np.float32),
            "numbered": np.array([[1.0, 12.0, 1.0]], np.float32),
            "flat": np.array([1, 1]),
            "from": np.array(first),
            "to": np.array([1, 1, 1, 1]),
        },
        opset,
    )


def run(artefact, *inputs):
    session = onnxruntime.InferenceSession(artefact.path)
    names = [spec.name for spec in artefact.inputs]
    return session.run([artefact.output.name], dict(zip(names, inputs, strict=True)))[0]


def prepared(model, cache):
    return prepare(model, Precision("fp32"), Cache(cache), None)


@pytest.mark.parametrize(
    ("name", "offset", "scores"),
    [("resnet50", -1, "softmax_tensor:0"), ("mobilenet", -1, PREDICTIONS)],
)
def test_a_published_classifier_is_run_as_it_is(configured, tmp_path, name, offset, scores):
    path = classifier(tmp_path / "net.onnx", scores=scores)
    given = configured(f"model={name}", f"model.weights={path}").model
    model = as_it_is(given)
    assert (model.kind, model.name, model.label_offset) == ("onnx", name, offset)
    assert model.preprocessing == given.preprocessing
    artefact = prepared(model, tmp_path)
    assert artefact.weights.startswith("net.onnx sha256:")
    images = np.zeros((2, 3, 224, 224), np.float32)
    images[0, 2], images[1, 1] = 1, 1
    found = run(artefact, images)
    assert (found if name == "resnet50" else found.argmax(axis=1)).tolist() == [2, 1]


def test_a_published_heavy_detector_answers_in_our_rows(configured, tmp_path):
    path = detector(tmp_path / "net.onnx", False, ("bboxes", "scores", "labels"), opset=11)
    model = as_it_is(configured("model=ssd_resnet34", f"model.weights={path}").model)
    small = dataclasses.replace(model.preprocessing, size=8)
    artefact = prepared(dataclasses.replace(model, preprocessing=small), tmp_path)
    assert artefact.fixed_batch == 1
    image = np.full((1, 3, 8, 8), 0.75, np.float32)
    rows = run(artefact, image, np.array([7], np.float32))
    np.testing.assert_allclose(
        rows[0],
        [
            [7, 0.2, 0.1, 0.9, 0.5, 0.75, 1],
            [7, 0, 0, 1, 1, 0.375, 13],  # the 12th of the 80 categories: COCO left out id 12
            [7, 0, 0, 0, 0, 0, 1],
        ],
        rtol=1e-6,
    )


@pytest.mark.parametrize("opset", [11, 17])
def test_a_published_light_detector_takes_pixels(configured, tmp_path, opset):
    names = ("detection_boxes:0", "detection_scores:0", "detection_classes:0")
    path = detector(tmp_path / "net.onnx", True, names, opset)
    model = as_it_is(configured("model=ssd_mobilenet", f"model.weights={path}").model)
    p = model.preprocessing
    assert (p.layout, p.scale, p.mean, p.std, p.size) == ("nhwc", 1.0, [0] * 3, [1] * 3, 300)
    artefact = prepared(
        dataclasses.replace(model, preprocessing=dataclasses.replace(p, size=8)), tmp_path
    )
    assert [spec.dtype for spec in artefact.inputs] == ["float32", "float32"]
    rows = run(artefact, np.full((1, 8, 8, 3), 200, np.float32), np.array([3], np.float32))
    np.testing.assert_allclose(rows[0, :, 5:], [[200, 1], [100, 12], [0, 1]])
    np.testing.assert_allclose(rows[0, :, 1:5], BOXES[0])


@pytest.mark.parametrize(
    ("keys", "variant"),
    [
        (["model=resnet50", "model.width=0.5"], "width 0.5"),
        (["model=resnet50", "model.depth=0.5"], "depth 0.5"),
        (["model=mobilenet", "model.size=96"], "96x96"),
        (["model=resnet50", "model.width=0.75", "model.size=64"], "width 0.75, 64x64"),
    ],
)
def test_a_file_that_is_run_as_it_is_has_no_versions(configured, tmp_path, keys, variant):
    path = classifier(tmp_path / "net.onnx", scores=PREDICTIONS)
    with pytest.raises(ConfigError, match=rf"net\.onnx is run as it is, .*\({variant}\): a file"):
        as_it_is(configured(*keys, f"model.weights={path}").model)


def test_an_input_of_another_size_is_fitted_by_the_preprocessing(configured, tmp_path):
    path = classifier(tmp_path / "net.onnx")
    keys = ["model=resnet50", f"model.weights={path}", "model.preprocessing.size=96"]
    assert as_it_is(configured(*keys).model).preprocessing.size == 96


def test_a_name_in_capitals_is_recognised(configured, tmp_path):
    path = classifier(tmp_path / "NET.ONNX")
    assert as_it_is(configured("model=resnet50", f"model.weights={path}").model).kind == "onnx"


def test_other_files_are_left_to_be_weights(configured, tmp_path):
    path = classifier(tmp_path / "net.onnx")
    detection = configured("model=ssd_mobilenet", f"model.weights={path}").model
    assert as_it_is(detection) == detection
    assert as_it_is(dataclasses.replace(detection, weights="net.npz")).weights == "net.npz"


def test_a_detector_of_ones_own_names_its_outputs(configured, tmp_path):
    path = detector(tmp_path / "net.onnx", False, ("b", "s", "c"), opset=13)
    keys = ["model=onnx", f"model.path={path}", "model.task=object_detection"]
    model = configured(*keys, "model.preprocessing.size=8").model
    with pytest.raises(ConfigError, match=r"set model\.outputs\.boxes"):
        prepared(model, tmp_path)
    named = dataclasses.replace(model, outputs=Outputs(boxes="b", scores="s", classes="c"))
    assert prepared(named, tmp_path).output.name == "detections"
    wrong = dataclasses.replace(model, outputs=Outputs(boxes="b", scores="s", classes="x"))
    with pytest.raises(ConfigError, match=r"has no output x: .* b, s, c"):
        prepared(wrong, tmp_path)
