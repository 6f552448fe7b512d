"""Engines: what they are kept by, how they are built, and what is said when they are not."""

import types
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization

from sut.half import half
from sut.tensorrt import engine
from sut.tensorrt.engine import Recipe, profiles
from sut.tensorrt.signed import signed

RECIPE = Recipe(profiles(16), "11.2.0", "Card")


def test_profiles_hold_every_batch_once():
    for most in (1, 8, 9, 256):
        held = [size for p in profiles(most) for size in range(p.least, p.most + 1)]
        assert held == list(range(1, most + 1))
        assert profiles(most)[-1].best == (most if most > 8 else 1)


def test_an_engine_is_kept_by_all_that_it_depends_on(tmp_path, monkeypatch):
    built = []

    def build(trt, content, recipe, timings):
        built.append(timings)
        return b"engine of " + content, b"timings"

    monkeypatch.setattr(engine, "build", build)
    for recipe in (
        RECIPE,
        RECIPE,
        replace(RECIPE, version="11.3.0"),
        replace(RECIPE, device="Another"),
        replace(RECIPE, profiles=profiles(32)),
    ):
        assert engine.engine(None, b"network", recipe, tmp_path) == b"engine of network"
    assert engine.engine(None, b"other", RECIPE, tmp_path) == b"engine of other"
    # Timings are shared by the engines of one device and version, and by no others.
    assert built == [b"", b"", b"", b"timings", b"timings"]
    assert sum(path.suffix == ".engine" for path in tmp_path.iterdir()) == 5


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two convolutions: the file in fp32, and quantised to unsigned activations (QDQ)."""
    folder = tmp_path_factory.mktemp("files")
    draw = np.random.default_rng(0)
    weights = [
        draw.standard_normal(shape).astype(np.float32) for shape in ((16, 3, 3, 3), (8, 16, 1, 1))
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["c0"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c0"], ["r0"], "relu"),
        helper.make_node("Conv", ["r0", "w1", "b1"], ["y"], "second"),
    ]
    constants = [numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(weights)]
    constants += [
        numpy_helper.from_array(draw.standard_normal(n).astype(np.float32), f"b{i}")
        for i, n in enumerate((16, 8))
    ]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8, 8, 8])
    graph = helper.make_graph(nodes, "small", [image], [answer], constants)
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(whole, str(folder / "whole.onnx"))
    images = draw.standard_normal((32, 3, 8, 8)).astype(np.float32)

    class Reader(quantization.CalibrationDataReader):
        feeds = iter([{"x": images}])

        def get_next(self):
            return next(self.feeds, None)

    quantization.quantize_static(
        str(folder / "whole.onnx"),
        str(folder / "int8.onnx"),
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        reduce_range=True,  # or 8-bit products overflow on some processors
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    return types.SimpleNamespace(
        whole=folder / "whole.onnx", int8=folder / "int8.onnx", images=images
    )


def _answers(content, images):
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(["y"], {"x": images})[0]


def test_signed_ranges_hold_what_the_unsigned_ones_held(files):
    content = signed(files.int8)
    graph = onnx.load_from_string(content).graph
    constants = {x.name: numpy_helper.to_array(x) for x in graph.initializer}
    pairs = [n for n in graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert pairs
    for node in pairs:
        assert constants[node.input[2]].dtype == np.int8
        assert not constants[node.input[2]].any()
    whole, unsigned, ours = (
        _answers(x, files.images)
        for x in (files.whole.read_bytes(), files.int8.read_bytes(), content)
    )
    error = [np.linalg.norm(x - whole) / np.linalg.norm(whole) for x in (unsigned, ours)]
    assert error[0] < 0.03
    assert error[1] < 1.5 * error[0]  # one bit less for what a ReLU lets through


@pytest.fixture
def rtx():
    """TensorRT for RTX, which has the same interface and builds without a GPU."""
    trt = pytest.importorskip("tensorrt_rtx")

    class Builder:
        def __init__(self, log):
            self._own = trt.Builder(log)

        def __getattr__(self, name):
            return getattr(self._own, name)

        def create_builder_config(self):
            config = self._own.create_builder_config()
            config.num_compute_capabilities = 1
            config.set_compute_capability(trt.ComputeCapability.SM89, 0)
            return config

    names = {name: getattr(trt, name) for name in dir(trt) if not name.startswith("__")}
    return types.SimpleNamespace(**{**names, "Builder": Builder, "__version__": trt.__version__})


@pytest.mark.filterwarnings("ignore:Use deprecated:DeprecationWarning")
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_an_engine_is_built_from_the_file(precision, files, rtx, tmp_path):
    content = half(files.whole) if precision == "fp16" else signed(files.int8)
    made = engine.engine(rtx, content, RECIPE, tmp_path)
    assert len(made) > 1000
    assert {path.suffix for path in tmp_path.iterdir()} == {".engine", ".timings"}
    again = engine.engine(None, content, RECIPE, tmp_path)  # TensorRT is not asked any more
    assert again == made


def test_a_network_that_it_cannot_read_is_refused_with_its_reason(rtx):
    with pytest.raises(RuntimeError, match="TensorRT cannot read the network: "):
        engine.build(rtx, b"not a network", RECIPE, b"")
