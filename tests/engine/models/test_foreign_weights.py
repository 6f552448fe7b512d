"""Checkpoints of TensorFlow Lite and TensorFlow.js, written here in their own forms."""

import json
import re

import flatbuffers
import numpy as np
import pytest

from engine.errors import ConfigError
from engine.models import foreign, tfjs, tflite, weights
from engine.models.reference import network_of

FLOAT, INT32, UINT8, INT8 = 0, 2, 3, 9
EXACT = {"rtol": 1e-5, "atol": 1e-5}


def lite(tensors):
    """A TensorFlow Lite file of constant ``tensors``: name -> (type, array), and for a quantised
    one the scales, the zero points and the dimension that they go along."""
    b = flatbuffers.Builder(0)

    def table(*fields):
        b.StartObject(7)
        for slot, add, value in fields:
            add(slot, value, 0)
        return b.EndObject()

    def vector(offsets):
        b.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            b.PrependUOffsetTRelative(offset)
        return b.EndVector()

    offset = b.PrependUOffsetTRelativeSlot
    buffers, described = [table()], []
    for name, (kind, array, *steps) in tensors.items():
        quantised = []
        if steps:
            scales = b.CreateNumpyVector(np.array(steps[0], np.float32))
            zeros = b.CreateNumpyVector(np.array(steps[1], np.int64))
            fields = (2, offset, scales), (3, offset, zeros), (6, b.PrependInt32Slot, steps[2])
            quantised = [(4, offset, table(*fields))]
        content = b.CreateNumpyVector(np.frombuffer(array.tobytes(), np.uint8))
        buffers.append(table((0, offset, content)))
        shape, text = b.CreateNumpyVector(np.array(array.shape, np.int32)), b.CreateString(name)
        described.append(
            table(
                (0, offset, shape),
                (1, b.PrependInt8Slot, kind),
                (2, b.PrependUint32Slot, len(buffers) - 1),
                (3, offset, text),
                *quantised,
            )
        )
    graph = table((0, offset, vector(described)))
    model = table((2, offset, vector([graph])), (4, offset, vector(buffers)))
    b.Finish(model, file_identifier=tflite.IDENTIFIER)
    return bytes(b.Output())


def js(folder, tensors, shard_bytes=1 << 16):
    """A TensorFlow.js model in ``folder``; returns its model.json."""
    content = b"".join(array.tobytes() for array in tensors.values())
    shards = [content[at : at + shard_bytes] for at in range(0, len(content), shard_bytes)]
    paths = [f"shard{number}.bin" for number in range(len(shards))]
    for path, shard in zip(paths, shards, strict=True):
        (folder / path).write_bytes(shard)
    listed = [
        {"name": name, "shape": list(array.shape), "dtype": str(array.dtype)}
        for name, array in tensors.items()
    ]
    manifest = {"weightsManifest": [{"paths": paths, "weights": listed}]}
    (folder / "model.json").write_text(json.dumps(manifest))
    return folder / "model.json"


def as_slim(values):
    """MobileNet's tensors in TF-Slim's names and layouts; shifts stand for normalisations."""
    found = {}
    for name, value in values.items():
        block = re.fullmatch(r"(?:blocks\.(\d+)\.)?(\w+?)(?:_bn|bn)?\.(weight|bias)", name)
        if name in ("fc.weight", "fc.bias"):
            kind = "weights" if name == "fc.weight" else "convolution_bias"
            shaped = value[:, None, None, :] if name == "fc.weight" else value
            found[f"MobilenetV1/Logits/Conv2d_1c_1x1/{kind}"] = shaped
        elif value.ndim == 4:
            number, layer, _ = block.groups()
            place = f"Conv2d_{number}_{layer}" if number else "Conv2d_0"
            depthwise = layer == "depthwise"
            kind = "depthwise_weights" if depthwise else "weights"
            order = (1, 2, 3, 0) if depthwise else (0, 2, 3, 1)
            found[f"MobilenetV1/{place}/{kind}"] = value.transpose(order)
        elif name.endswith("bias"):
            number, layer = (block[1], block[2]) if block[1] else (None, None)
            place = f"Conv2d_{number}_{layer}" if number else "Conv2d_0"
            found[f"MobilenetV1/MobilenetV1/{place}/convolution_bias"] = value
    return {name: np.ascontiguousarray(value) for name, value in found.items()}


def as_keras(values, bias):
    """ResNet-50's tensors in Keras' names and layouts, every convolution with that bias."""
    statistics = {ours: theirs for theirs, ours in foreign.STATISTICS.items()}
    branches = {ours: b for b, pair in foreign.KERAS_BRANCHES.items() for ours in pair}
    branches |= dict.fromkeys(foreign.KERAS_SHORTCUT, "1")
    found = {}
    for name, value in values.items():
        layer, _, kind = name.rpartition(".")
        if layer == "fc":
            found["fc1000/kernel" if kind == "weight" else "fc1000/bias"] = value.T
            continue
        place = re.fullmatch(r"layer(\d)\.(\d)\.(.+)", layer)
        inner = place and f"{int(place[1]) + 1}{'abcdef'[int(place[2])]}_branch{branches[place[3]]}"
        if value.ndim == 4:
            theirs = f"res{inner}" if inner else "conv1"
            kernel = value if inner else value[:, ::-1]
            found[f"{theirs}/kernel"] = kernel.transpose(2, 3, 1, 0)
            found[f"{theirs}/bias"] = np.full(len(value), bias, np.float32)
        else:
            found[f"{f'bn{inner}' if inner else 'bn_conv1'}/{statistics[kind]}"] = value
    return {name: np.ascontiguousarray(value, np.float32) for name, value in found.items()}


def test_mobilenet_comes_back_from_its_slim_form(tmp_path):
    network = network_of("mobilenet_v1", 0.25)
    values = weights.seeded(network, 7)
    shape = (INT32, np.array([1, 1001], np.int32))
    file = tmp_path / "net.tflite"
    tensors = {name: (FLOAT, value) for name, value in as_slim(values).items()}
    file.write_bytes(lite(tensors | {"MobilenetV1/Predictions/Reshape/shape": shape}))
    found = weights.from_file(network, file)
    for name, value in values.items():
        if not name.endswith("running_var"):
            np.testing.assert_array_equal(found[name], value, err_msg=name)
    # What TensorFlow folded away divides by one here.
    np.testing.assert_allclose(np.sqrt(found["bn.running_var"] + np.float32(1e-3)), 1, rtol=1e-6)


def test_resnet_comes_back_from_its_keras_form(tmp_path):
    network = network_of("resnet50_v1_0", 0.125)
    values = weights.seeded(network, 7)
    found = weights.from_file(network, js(tmp_path, as_keras(values, bias=0.0)))
    for name, value in values.items():
        if name.endswith("running_var"):
            value = value + np.float32(1e-3 - 1e-5)
        np.testing.assert_allclose(found[name], value, err_msg=name, **EXACT)


def test_a_keras_bias_and_epsilon_move_into_the_normalisation():
    draw = np.random.default_rng(1)
    gamma, beta, mean, bias, x = draw.normal(size=(5, 8)).astype(np.float32)
    variance = draw.uniform(0.5, 2, 8).astype(np.float32)
    place = "3b_branch2a"
    found = foreign.resnet50_from_keras(
        {
            f"bn{place}/gamma": gamma,
            f"bn{place}/beta": beta,
            f"bn{place}/moving_mean": mean,
            f"bn{place}/moving_variance": variance,
            f"res{place}/bias": bias,
        }
    )
    ours = {name.removeprefix("layer2.1.bn1."): value for name, value in found.items()}
    got = (x - ours["running_mean"]) / np.sqrt(ours["running_var"] + 1e-5)
    wanted = gamma * (x + bias - mean) / np.sqrt(variance + 1e-3) + beta
    np.testing.assert_allclose(got * ours["weight"] + ours["bias"], wanted, **EXACT)


def test_what_is_missing_or_quantised_is_named(tmp_path):
    network = network_of("mobilenet_v1", 0.25)
    slim = {name: (FLOAT, value) for name, value in as_slim(weights.seeded(network, 7)).items()}
    gone = "MobilenetV1/Conv2d_3_pointwise/weights"
    file = tmp_path / "net.tflite"
    file.write_bytes(lite({name: value for name, value in slim.items() if name != gone}))
    with pytest.raises(ConfigError, match=r"tensor blocks\.3\.pointwise\.weight .* is missing"):
        weights.from_file(network, file)
    file.write_bytes(lite(slim | {gone: (UINT8, slim[gone][1].astype(np.uint8))}))
    with pytest.raises(ConfigError, match=r"blocks\.3\.pointwise\.weight \(uint8\)"):
        weights.from_file(network, file)


def as_detection_model(values):
    """SSD-MobileNet's tensors as TensorFlow's quantised detection models have them."""
    found = {}
    for name, value in values.items():
        layer, _, kind = name.rpartition(".")
        layer = re.sub(r"_?bn$", "", layer)
        if kind not in ("weight", "bias"):
            continue
        if head := re.fullmatch(r"heads\.(\d)\.(classes|boxes)", layer):
            number, what = head.groups()
            count = 91 if what == "classes" else 4
            theirs = f"{'Class' if what == 'classes' else 'BoxEncoding'}Predictor"
            place = f"BoxPredictor_{number}/{theirs}"
            value = value.reshape(count, -1, *value.shape[1:]).swapaxes(0, 1).reshape(value.shape)
            bias = f"{place}/Conv2D_bias"
        else:
            extra = re.fullmatch(r"extras\.(\d)\.(\d)", layer)
            block = re.fullmatch(r"blocks\.(\d+)\.(\w+)", layer)
            number = "_".join(block.groups()) if block else "0"
            place = f"FeatureExtractor/MobilenetV1/MobilenetV1/Conv2d_{number}"
            if extra:
                number, part = (int(each) + 1 for each in extra.groups())
                inner = f"Conv2d_13_pointwise_{part}_Conv2d_{number}_{part}x{part}_64"
                place = f"FeatureExtractor/MobilenetV1/{inner}"
            bias = f"{place}/{'depthwise_' if 'depthwise' in layer else 'Conv2D_'}Fold_bias"
        if value.ndim == 4:
            order = (1, 2, 3, 0) if "depthwise" in layer else (0, 2, 3, 1)
            found[f"{place}/weights_quant/FakeQuantWithMinMaxVars"] = value.transpose(order)
        elif name.endswith("bias"):
            found[bias] = value
    return {name: np.ascontiguousarray(value) for name, value in found.items()}


def stepped(value, kind):
    """``value`` in 8 bits (biases: 32), one step for all of it."""
    scale = float(np.abs(value).max()) / 100 or 1.0
    zero = 0 if kind == INT32 else 120
    dtype = np.int32 if kind == INT32 else np.uint8
    return kind, np.round(value / scale + zero).astype(dtype), [scale], [zero], 0


def test_a_quantised_detector_comes_back_in_single_precision(tmp_path):
    network = network_of("ssd_mobilenet_v1", 0.125, 96)
    draw = np.random.default_rng(3)
    values = {n: draw.normal(size=s).astype(np.float32) for n, s in network.shapes.items()}
    tensors = {
        name: stepped(value, INT32 if name.endswith("bias") else UINT8)
        for name, value in as_detection_model(values).items()
    }
    anchors = {"anchors": (UINT8, np.ones((4, 4), np.uint8), [0.1], [0], 0)}
    file = tmp_path / "net.tflite"
    file.write_bytes(lite(tensors | anchors))
    found = weights.from_file(network, file)
    learnt = [n for n, v in values.items() if v.ndim == 4 or n.endswith(".bias")]
    assert len(learnt) == 2 * (27 + 8 + 12)
    for name in learnt:
        step = np.abs(values[name]).max() / 100
        np.testing.assert_allclose(found[name], values[name], atol=0.51 * step, err_msg=name)


def test_each_channel_may_have_its_own_steps(tmp_path):
    file = tmp_path / "net.tflite"
    counts = np.arange(6, dtype=np.int8).reshape(2, 3)
    file.write_bytes(lite({"a": (INT8, counts, [1.0, 10.0, 100.0], [0, 1, 2], 1)}))
    assert tflite.read(file)["a"].tolist() == [[0, 0, 0], [3, 30, 300]]
    file.write_bytes(lite({"a": (INT8, counts, [1.0, 10.0], [0, 1], 1)}))
    with pytest.raises(ValueError, match="reshape"):
        tflite.read(file)


def test_a_damaged_lite_file_is_refused(tmp_path, damaged):
    network, file = network_of("mobilenet_v1", 0.25), tmp_path / "net.tflite"
    ones = np.ones((3, 2))
    whole = lite(
        {"a": (FLOAT, ones.astype(np.float32)), "b": (UINT8, ones.astype(np.uint8), [1], [0], 0)}
    )
    file.write_bytes(whole)
    assert [value.tolist() for value in tflite.read(file).values()] == [ones.tolist()] * 2
    for content in damaged(whole, 7, 300):
        file.write_bytes(content)
        with pytest.raises(ConfigError):  # unreadable, or without the network's tensors
            weights.from_file(network, file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda m: m["weightsManifest"][0].update(paths=["../../etc/passwd"]),
            "outside its folder",
        ),
        (lambda m: m["weightsManifest"][0]["weights"][0].update(dtype="uint8"), "precision"),
        (lambda m: m["weightsManifest"][0]["weights"][0].update(shape=[99]), "buffer"),
        (lambda m: m["weightsManifest"][0]["weights"].pop(), "the shards have"),
        (lambda m: m.pop("weightsManifest"), "weightsManifest"),
        (lambda m: m["weightsManifest"][0].update(paths=["gone.bin"]), r"gone\.bin"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(tmp_path, change, message):
    path = js(tmp_path, {"a": np.ones(4, np.float32), "b": np.zeros((2, 2), np.float32)})
    assert tfjs.read(path)["b"].shape == (2, 2)
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(ConfigError, match=message):
        weights.from_file(network_of("resnet50_v1_0", 0.125), path)
    if message in ("outside its folder", "weightsManifest", r"gone\.bin"):
        with pytest.raises(ConfigError, match=message):  # nor is it read for its hash
            weights.content_sha256(path)
