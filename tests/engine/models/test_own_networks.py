from __future__ import annotations

import logging

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine import config
from engine.cache import Cache
from engine.errors import ConfigError
from engine.models import check, prepare

FP32, INT8 = config.Precision("fp32"), config.Precision("int8", calibration_count=6)
SMALL = config.Preprocessing(size=8)


def classifier(batch=1, reshape=None, inputs=("x",), outputs=("y",)):
    """A convolution, an average and ten scores, as an exporter might write it."""
    rng = np.random.default_rng(0)
    tensors = {
        "k": rng.standard_normal((10, 3, 3, 3)).astype(np.float32),
        "shape": np.array(reshape or [0, -1], np.int64),
    }
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], "conv"),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], "pool"),
        *(helper.make_node("Reshape", ["p", "shape"], [y], f"to_{y}") for y in outputs),
    ]
    graph = helper.make_graph(
        nodes,
        "own",
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, [batch, 3, 8, 8]) for x in inputs],
        [helper.make_tensor_value_info(y, TensorProto.FLOAT, [batch, 10]) for y in outputs],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def saved(tmp_path, model):
    onnx.save(model, tmp_path / "own.onnx")
    return str(tmp_path / "own.onnx")


def prepared(tmp_path, model, precision=FP32, calibration=None, **keys):
    keys = {"path": saved(tmp_path, model), "preprocessing": SMALL} | keys
    return prepare(
        config.Model("onnx", "own", **keys), precision, Cache(tmp_path / "cache"), calibration
    )


def run(artefact, x):
    session = onnxruntime.InferenceSession(artefact.path)
    return session.run([artefact.output.name], {artefact.inputs[0].name: x})[0]


@pytest.fixture
def images():
    return np.random.default_rng(1).standard_normal((6, 3, 8, 8)).astype(np.float32)


def test_a_network_with_a_dynamic_batch_is_used_as_it_is(tmp_path):
    artefact = prepared(tmp_path, classifier(batch="n"))
    assert artefact.path == tmp_path / "own.onnx"
    assert artefact.inputs[0].shape == (None, 3, 8, 8) and artefact.fixed_batch is None
    assert artefact.output.name == "y" and artefact.output.dtype == "float32"
    assert (artefact.parameters, artefact.operations) == (270, 2 * 270 * 36)
    assert artefact.weights.startswith("own.onnx sha256:")


def test_a_batch_of_one_is_freed_where_the_graph_allows_it(tmp_path, images):
    artefact = prepared(tmp_path, classifier(batch=1))
    assert artefact.fixed_batch is None and artefact.output.shape == (None, 10)
    original = onnxruntime.InferenceSession(tmp_path / "own.onnx")
    alone = np.concatenate([original.run(None, {"x": images[i : i + 1]})[0] for i in range(6)])
    np.testing.assert_allclose(run(artefact, images), alone, rtol=1e-5)


@pytest.mark.parametrize("reshape", [[1, 10], [1, -1], [-1, 5]])
def test_a_batch_of_one_that_the_graph_relies_on_stays(tmp_path, reshape):
    model = classifier(batch=1, reshape=reshape)
    if reshape == [-1, 5]:
        model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 2
        model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 5
    artefact = prepared(tmp_path, model)
    assert artefact.fixed_batch == 1 and artefact.path == tmp_path / "own.onnx"


def test_a_graph_that_mixes_its_samples_stays_fixed(tmp_path):
    model = classifier(batch=1)
    model.graph.node[-1].output[0] = "unmixed"
    mean = helper.make_node("ReduceMean", ["unmixed"], ["mean"], axes=[0], keepdims=1)
    model.graph.node.extend([mean, helper.make_node("Sub", ["unmixed", "mean"], ["y"])])
    assert prepared(tmp_path, model).fixed_batch == 1


@pytest.mark.parametrize("batch", ["n", 1])
def test_int8_answers_nearly_as_fp32_does(tmp_path, images, batch, caplog):
    handlers, reshape = list(logging.getLogger().handlers), [1, 10] if batch == 1 else None
    model = classifier(batch, reshape)
    fp32 = prepared(tmp_path, model)
    with caplog.at_level(logging.INFO):
        int8 = prepared(tmp_path, model, INT8, lambda n: (images[:n],))
    assert int8.precision == "int8" and int8.sha256 != fp32.sha256
    assert int8.parameters == fp32.parameters and int8.fixed_batch == fp32.fixed_batch
    exact, close = run(fp32, images[:1]), run(int8, images[:1])
    assert 0 < np.abs(exact - close).max() < 0.03 * np.abs(exact).max()
    assert not caplog.records and logging.getLogger().handlers == handlers
    assert not [p for p in (tmp_path / "cache").iterdir() if p.is_dir()]


def test_int8_is_made_anew_for_other_calibration_images(tmp_path, images):
    first, again, other = (
        prepared(tmp_path, classifier("n"), INT8, lambda n, s=s: (images[:n] * s,))
        for s in (1, 1, 3)
    )
    assert first == again and first.sha256 != other.sha256


def test_int8_without_calibration_images_says_so(tmp_path):
    def none(count):
        raise ConfigError("no calibration images")

    with pytest.raises(ConfigError, match="no calibration images"):
        prepared(tmp_path, classifier("n"), INT8, none)


def test_inputs_and_outputs_are_chosen_by_name(tmp_path):
    two = classifier("n", outputs=("y", "z"))
    with pytest.raises(ConfigError, match=r"has 2 outputs: set model.output= to one of y, z"):
        prepared(tmp_path, two)
    assert prepared(tmp_path, two, output="z").output.name == "z"
    with pytest.raises(ConfigError, match=r"has no output w: .* y, z"):
        prepared(tmp_path, two, output="w")
    with pytest.raises(ConfigError, match=r"has no input w: .* x"):
        prepared(tmp_path, classifier("n"), input="w")
    with pytest.raises(ConfigError, match="needs the inputs x, mask"):
        prepared(tmp_path, classifier("n", inputs=("x", "mask")), input="x")


def test_preprocessing_must_fit_the_input(tmp_path):
    for wrong in (config.Preprocessing(), config.Preprocessing(size=8, layout="nhwc")):
        with pytest.raises(ConfigError, match=r"model.preprocessing.size=8 and .*layout"):
            prepared(tmp_path, classifier("n"), preprocessing=wrong)


def test_unusable_files(tmp_path):
    with pytest.raises(ConfigError, match=r"set model.path=FILE.onnx"):
        check(config.Model("onnx", "own"))
    with pytest.raises(ConfigError, match="there is no such file"):
        prepared(tmp_path, classifier(), path=str(tmp_path / "none.onnx"))
    broken = tmp_path / "broken.onnx"
    for content in (b"", b"garbage", classifier().SerializeToString()[:300]):
        broken.write_bytes(content)
        with pytest.raises(ConfigError, match="not a valid ONNX network"):
            prepared(tmp_path, classifier(), path=str(broken))


def test_a_graph_that_no_checker_passes(tmp_path):
    model = classifier()
    model.graph.node[0].op_type = "Nonsense"
    with pytest.raises(ConfigError, match="not a valid ONNX network"):
        prepared(tmp_path, model)


@pytest.mark.parametrize("location", ["../outside.bin", "missing.bin"])
def test_external_data_stays_in_the_folder(tmp_path, location):
    (tmp_path / "outside.bin").write_bytes(bytes(4 * 270))
    folder = tmp_path / "folder"
    folder.mkdir()
    model = classifier("n")
    kernel = model.graph.initializer[0]
    kernel.ClearField("raw_data")
    kernel.data_location = TensorProto.EXTERNAL
    kernel.external_data.add(key="location", value=location)
    (folder / "own.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ConfigError, match="external data"):
        prepared(tmp_path, classifier(), path=str(folder / "own.onnx"))


def test_external_data_beside_the_file_is_read(tmp_path, images):
    path = tmp_path / "ext.onnx"
    onnx.save(classifier(1), path, save_as_external_data=True, location="ext.bin", size_threshold=0)
    artefact = prepared(tmp_path, classifier("n"), path=str(path))
    whole = prepared(tmp_path, classifier("n"))
    np.testing.assert_allclose(run(artefact, images), run(whole, images), rtol=1e-6)
    assert artefact.parameters == 270
