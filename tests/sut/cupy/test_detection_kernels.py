"""The kernels of detection.cu, compiled for the processor, against ONNX Runtime."""

from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from engine.cache import Cache
from engine.models import weights
from engine.models.graph import Builder
from engine.models.quantise import quantise
from engine.models.ssd import Detector, Level, detect
from sut.bench.peers import alike
from sut.cupy.arena import arena_of, bytes_of
from sut.cupy.detection import launches
from sut.cupy.files import read
from sut.cupy.steps import number_of, problem_of, steps_of, stored_channels

from . import plain
from .host import COMPILER, compiled, launch, run

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no g++")
MOST = 12


@pytest.fixture(scope="session")
def kernels(tmp_path_factory):
    """The library, whose functions take arrays and numbers."""
    return compiled("detection", tmp_path_factory)


def _kept(kernels, scores, corners, threshold, overlap, most=MOST):
    batch, classes, boxes = scores.shape
    kept = np.full((batch, classes, most), -1, np.float32)
    places = np.full((batch, classes, most), -1, np.int32)
    space = np.full(scores.shape, -7, np.int32)
    sizes = (classes, boxes, most, threshold, overlap)
    arrays = (scores, corners, space, kept, places)
    launch(kernels, "suppress", (classes, batch), 64, (*arrays, *sizes))
    return kept, places


def _onnxruntimes(scores, corners, threshold, overlap, most=MOST):
    """[image, class, box] of what ONNX Runtime keeps, the best of a class first."""
    names = ["boxes", "scores", "most", "overlap", "threshold"]
    kinds = [TensorProto.FLOAT] * 2 + [TensorProto.INT64] + [TensorProto.FLOAT] * 2
    inputs = [helper.make_tensor_value_info(n, k, None) for n, k in zip(names, kinds, strict=True)]
    answer = helper.make_tensor_value_info("kept", TensorProto.INT64, None)
    node = helper.make_node("NonMaxSuppression", names, ["kept"])
    graph = helper.make_graph([node], "nms", inputs, [answer])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    limits = (np.array([most]), np.float32([overlap]), np.float32([threshold]))
    return session.run(None, dict(zip(names, (corners, scores, *limits), strict=True)))[0]


def _drawn(seed, batch=2, classes=3, boxes=90, ties=False):
    draw = np.random.default_rng(seed)
    scores = draw.random((batch, classes, boxes), np.float32)
    if ties:
        scores = np.round(scores * 4) / 4
    a, b = np.sort(draw.random((2, batch, boxes, 2), np.float32), axis=0)
    return scores, np.concatenate([a, b], axis=2)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("threshold", "overlap"), [(0.3, 0.6), (0.05, 0.5), (0.99, 0.5)])
def test_what_is_kept_of_a_class_is_what_onnx_runtime_keeps(threshold, overlap, ties, kernels):
    scores, corners = _drawn(1, ties=ties)
    corners[:, 7] = 0.25  # no area
    kept, places = _kept(kernels, scores, corners, threshold, overlap)
    wanted = _onnxruntimes(scores, corners, threshold, overlap)
    for image in range(scores.shape[0]):
        for label in range(scores.shape[1]):
            own = wanted[(wanted[:, 0] == image) & (wanted[:, 1] == label), 2]
            found = kept[image, label] > 0
            assert places[image, label][found].tolist() == own.tolist()
            assert np.array_equal(kept[image, label][found], scores[image, label, own])
            assert not kept[image, label, len(own) :].any()


def test_the_best_of_all_classes_come_first_and_the_rest_is_empty(kernels):
    scores, corners = _drawn(2, ties=True)
    threshold = 0.5
    kept, places = _kept(kernels, scores, corners, threshold, 0.1)
    batch, classes, boxes = scores.shape
    categories = np.float32([3, 17, 90])
    for most in (5, MOST):
        few = np.ascontiguousarray(kept[:, :, :most]), np.ascontiguousarray(places[:, :, :most])
        rows = np.full((batch, most, 7), -1, np.float32)
        arrays = (*few, corners, categories, rows)
        launch(kernels, "rank", (2, batch), 32, (*arrays, classes, boxes, most))
        for image in range(batch):
            found = [
                (-few[0][image, c, i], c * boxes + few[1][image, c, i])
                for c in range(classes)
                for i in range(most)
                if few[0][image, c, i] > 0
            ]
            best = sorted(found)[:most]
            assert best
            wanted = np.zeros((most, 7), np.float32)
            for row, (score, flat) in zip(wanted, best, strict=False):
                row[1:5], row[5] = corners[image, flat % boxes], -score
                row[6] = categories[flat // boxes]
            assert np.array_equal(rows[image], wanted)


@pytest.fixture(params=["Sigmoid", "Softmax"])
def detector(request, tmp_path):
    """The file of a small detector that finds something; two levels, of 4x4 and 2x2 cells."""
    b = Builder(epsilon=1e-5)
    x = b.relu(b.batch_norm(b.conv("input", "stem", (16, 3, 3), 2, (1, 1, 1, 1)), "bn", 16))
    maps = [b.relu(b.conv(x, "one", (16, 16, 3), 2, (1, 1, 1, 1), bias=0.0))]
    maps.append(b.relu(b.conv(maps[0], "two", (16, 16, 3), 2, (1, 1, 1, 1), bias=0.0)))
    shapes = ((0.4, 0.3), (0.3, 0.6)), ((0.7, 0.7), (0.5, 0.9), (1.0, 0.6))
    levels = tuple(
        Level(name, channels, side, boxes, 3, stride=1)
        for name, channels, side, boxes in zip(maps, (16, 16), (4, 2), shapes, strict=True)
    )
    own = Detector(levels, (4, 7, 19), request.param, score_threshold=0.3, overlap=0.4)
    network = detect(b, own, "small", 16)
    values = weights.seeded(network, 0)
    draw = np.random.default_rng(3)
    for name in values:
        if name.startswith("heads."):
            values[name] = 0.4 * draw.standard_normal(values[name].shape).astype(np.float32)
    path = tmp_path / "detector.onnx"
    onnx.save(network.model(values), str(path))
    return path


def test_a_detector_is_read_and_answers_as_onnx_runtime_does(detector, kernels):
    images = np.random.default_rng(0).standard_normal((3, 3, 16, 16)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(detector))
    numbers = np.zeros(3, np.float32)
    wanted = session.run(["detections"], {"input": images, "image": numbers})[0]
    assert 5 < (wanted[:, :, 5] > 0).sum() < 300
    network = read(detector, "detections")
    rows = _rows(kernels, network, plain.outputs(network, images))
    assert np.allclose(rows, wanted, atol=2e-5)


def test_a_quantised_detector_finds_what_onnx_runtime_does(detector, kernels, tmp_path):
    images = np.random.default_rng(0).standard_normal((3, 3, 16, 16)).astype(np.float32)
    feed = {"input": images, "image": np.zeros(3, np.float32)}
    quantise(detector, tmp_path / "int8.onnx", [feed], False, Cache(tmp_path), percentile=True)
    network = read(tmp_path / "int8.onnx", "detections")
    kinds = Counter(step.kind for step in steps_of(network))
    assert kinds == {"stem": 1, "convolution": 2 + 4, "halved": 2, "detections": 1}
    rows = _rows(kernels, network, plain.stored_outputs(network, images))
    wanted = onnxruntime.InferenceSession(str(detector)).run(["detections"], feed)[0]
    assert alike(rows, wanted) > 0.9
    assert abs(rows[:, 0, 5] - wanted[:, 0, 5]).max() < 0.02


def _rows(kernels, network, made):
    """What the kernels make of the heads in ``made``: float32 [n, most, 7]."""
    layer = network.detections
    batch = len(made[layer.source])
    arrays = {"anchors": layer.anchors, "categories": layer.categories}
    for name in layer.sources:  # channels-last, filled up to a multiple of eight
        channels, more = made[name].shape[1], stored_channels(network, name)
        around = ((0, 0), (0, 0), (0, 0), (0, more - channels))
        nhwc = np.pad(made[name].transpose(0, 2, 3, 1), around, constant_values=np.nan)
        arrays[name] = np.ascontiguousarray(nhwc, np.float32)
    for name, size in layer.workspace.items():
        arrays[name] = np.full(size * batch, 255, np.uint8)
    arrays["rows"] = np.full((batch, layer.most, 7), np.nan, np.float32)
    for own in launches(network, layer, batch):
        few = 32  # real threads meet slowly; predict has one for each default box
        grid = own.grid
        blocks = (grid[0] * own.threads // few, *grid[1:]) if own.kernel == "predict" else grid
        run(kernels, replace(own, grid=blocks, threads=few), arrays)
    return arrays["rows"]


def test_heads_stay_in_single_precision_until_the_detections(detector):
    network = read(detector, "detections")
    layer, sizes, arena = network.detections, bytes_of(network), arena_of(network)
    assert sizes[layer.name] == sum(layer.workspace.values())
    assert len({arena.slot_of[name] for name in (*layer.sources, layer.name)}) == 5
    for step in steps_of(network):
        name = step.layer.name
        if name in layer.sources:
            assert number_of(network, name) == "fp32"
            problem = problem_of(step, network, 2)
            outputs, height, width = (stored_channels(network, name), *network.shapes[name][1:])
            assert problem.out == "fp32"
            assert problem.result == (2, outputs, height, width)
            assert outputs % 8 == 0
            assert step.arrays["w"].shape[0] == len(step.arrays["bias"]) == outputs
            assert sizes[name] == 4 * outputs * height * width
