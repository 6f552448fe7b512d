"""Frozen graphs and checkpoints of TensorFlow, written here byte by byte."""

import re
import struct

import google_crc32c
import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from engine.errors import ConfigError
from engine.models import foreign_gnmt, tensorflow, tensorflow_checkpoint, weights
from engine.models.gnmt import lstm
from engine.models.graph import Builder
from engine.models.reference import network_of

FLOAT, INT32 = 1, 3
STATISTICS = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def varint(number):
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def field(number, value):
    if isinstance(value, int):
        return varint(8 * number) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(8 * number + 2) + varint(len(content)) + content


def constant(name, array, dtype=FLOAT, content=None):
    """A node that is ``array``, or with ``content`` the bytes of another field and number."""
    shape = b"".join(field(2, field(1, int(side))) for side in array.shape)
    tensor = field(1, dtype) + field(2, shape) + (content or field(4, array.tobytes()))
    value = field(5, field(1, "value") + field(2, field(8, tensor)))
    kind = field(5, field(1, "dtype") + field(2, field(6, dtype)))
    return field(1, field(1, name) + field(2, "Const") + kind + value)


def graph(tensors):
    other = field(1, field(1, "sum") + field(2, "Add") + field(3, "a") + field(3, "b"))
    return other + b"".join(constant(name, array) for name, array in tensors.items())


def as_tensorflow(values):
    """SSD-MobileNet-v2's tensors as TensorFlow's detection models name and lay them out."""
    found = {}
    for name, value in values.items():
        layer, _, kind = name.rpartition(".")
        if head := re.fullmatch(r"heads\.(\d)\.(classes|boxes)", layer):
            what = {"classes": "Class", "boxes": "BoxEncoding"}[head[2]]
            count = {"classes": 91, "boxes": 4}[head[2]]
            rows = value.reshape(count, -1, *value.shape[1:]).swapaxes(0, 1).reshape(value.shape)
            ending = {"weight": "weights", "bias": "biases"}[kind]
            rows = rows.transpose(2, 3, 1, 0) if kind == "weight" else rows
            found[f"BoxPredictor_{head[1]}/{what}Predictor/{ending}"] = rows
            continue
        place = re.sub(r"_bn$", "", layer)
        if block := re.fullmatch(r"blocks\.(\d+)\.(\w+)", place):
            number = f"_{block[1]}" if block[1] != "0" else ""
            theirs = f"expanded_conv{number}/{block[2]}"
        elif extra := re.fullmatch(r"extras\.(\d)\.(\w+)", place):
            part, sides = (1, "1x1") if extra[2] == "0" else (2, "3x3_s2")
            ending = "_depthwise" if extra[2] == "depthwise" else ""
            theirs = f"layer_19_{part}_Conv2d_{int(extra[1]) + 1}_{sides}_256{ending}"
        else:
            theirs = {"conv": "Conv", "conv_1": "Conv_1"}[place]
        if layer.endswith("_bn"):
            theirs, value = f"{theirs}/BatchNorm/{STATISTICS[kind]}", value
        elif layer.endswith("depthwise"):
            theirs, value = f"{theirs}/depthwise_weights", value.transpose(2, 3, 0, 1)
        else:
            theirs, value = f"{theirs}/weights", value.transpose(2, 3, 1, 0)
        found[f"FeatureExtractor/MobilenetV2/{theirs}"] = value
    return found


def test_a_detector_comes_back_as_it_was(tmp_path):
    network = network_of("ssd_mobilenet_v2", 0.125, 96)
    draw = np.random.default_rng(3)
    values = {n: draw.normal(size=s).astype(np.float32) for n, s in network.shapes.items()}
    values |= {name: np.abs(values[name]) for name in network.variances}
    theirs = as_tensorflow(values)
    assert len(theirs) == len(values)
    file = tmp_path / "net.pb"
    file.write_bytes(graph({**theirs, "Generator/anchors": np.ones(6, np.float32)}))
    found = weights.from_file(network, file)
    for name, value in values.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    gone = "FeatureExtractor/MobilenetV2/expanded_conv_2/project/weights"
    file.write_bytes(graph({name: array for name, array in theirs.items() if name != gone}))
    with pytest.raises(ConfigError, match=r"tensor blocks\.2\.project\.weight .* is missing"):
        weights.from_file(network, file)


def test_what_is_no_float_tensor_is_left_out(tmp_path):
    file = tmp_path / "net.pb"
    numbers = np.arange(3, dtype=np.float32)
    listed = field(5, numbers.tobytes())
    scalar = constant("epsilon", np.float32(1))
    whole = constant("axes", numbers.astype(np.int32), INT32)
    file.write_bytes(constant("kept", numbers, content=listed) + scalar + whole)
    assert {n: v.tolist() for n, v in tensorflow.read_graph(file).items()} == {"kept": [0, 1, 2]}


def test_damaged_graphs_are_refused(tmp_path):
    network, file = network_of("ssd_mobilenet_v2", 0.125, 96), tmp_path / "net.pb"
    sound = constant("a", np.ones((2, 3), np.float32))
    longer = constant("a", np.ones((2, 3), np.float32), content=field(4, bytes(20)))
    for content in (b"", b"no graph", sound[:-1], longer, sound + b"\xff"):
        file.write_bytes(content)
        with pytest.raises(ConfigError, match="cannot be read as a TensorFlow graph"):
            weights.from_file(network, file)


def masked(content):
    """The sum of ``content`` as LevelDB's files have it, in bytes."""
    crc = google_crc32c.value(content)
    turned = (crc >> 15) | (crc & 0x7FFF) << 17
    return struct.pack("<I", (turned + 0xA282EAD8) % 2**32)


def closed(block):
    """A block with its trailer: not compressed, and the sum of what is before."""
    return block + b"\0" + masked(block + b"\0")


def block(entries):
    """Sorted keys with their values, each key as what differs from the one before."""
    content, last = b"", b""
    for key, value in entries:
        shared = 0
        while last[: shared + 1] == key[: shared + 1] and shared < len(last):
            shared += 1
        parts = varint(shared), varint(len(key) - shared), varint(len(value))
        content += b"".join(parts) + key[shared:] + value
        last = key
    return content + struct.pack("<II", 0, 1)


def checkpoint(folder, tensors, blocks=2, dtype=FLOAT, extra=b"", header=None):
    """``net.index`` and its one shard; the path of the former."""
    entries, data = [(b"", field(1, 1) if header is None else header)], b""
    for name, array in sorted(tensors.items()):
        shape = b"".join(field(2, field(1, int(side))) for side in array.shape)
        place = field(4, len(data)) + field(5, array.nbytes)
        place += varint(8 * 6 + 5) + masked(array.tobytes())
        entries.append((name.encode(), field(1, dtype) + field(2, shape) + place + extra))
        data += array.tobytes()
    table, handles = b"", []
    size = -(-len(entries) // blocks)
    for first in range(0, len(entries), size):
        part = block(entries[first : first + size])
        last = entries[min(first + size, len(entries)) - 1][0] + b"~"
        handles.append((last, len(table), len(part)))
        table += closed(part)
    places = [(key, varint(offset) + varint(length)) for key, offset, length in handles]
    index, empty = block(places), block([])
    at = len(table)
    table += closed(index) + closed(empty)
    after = at + len(index) + 5
    footer = varint(after) + varint(len(empty)) + varint(at) + varint(len(index))
    table += footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    path = folder / "net.index"
    path.write_bytes(table)
    (folder / "net.data-00000-of-00001").write_bytes(data)
    return path


def as_nmt(values):
    """GNMT's tensors in the names and layouts of TensorFlow's nmt programs."""
    root = "dynamic_seq2seq"
    attention = f"{root}/decoder/multi_rnn_cell/cell_0_attention/attention/bahdanau_attention"
    found = {
        "embeddings/encoder/embedding_encoder": values["embedding.source"],
        "embeddings/decoder/embedding_decoder": values["embedding.target"],
        f"{root}/decoder/memory_layer/kernel": values["attention.key"].T,
        f"{attention}/query_layer/kernel": values["attention.query"].T,
        f"{attention}/attention_v": values["attention.vector"],
        f"{attention}/attention_g": values["attention.scale"].reshape(()),
        f"{attention}/attention_b": values["attention.bias"],
        f"{root}/decoder/output_projection/kernel": values["projection"].T,
    }
    places = {f"encoder.{n}": f"{root}/encoder/rnn/multi_rnn_cell/cell_{n - 2}" for n in (2, 3, 4)}
    places |= {f"decoder.{n}": f"{root}/decoder/multi_rnn_cell/cell_{n - 1}" for n in (2, 3, 4)}
    places["decoder.1"] = attention.removesuffix("/bahdanau_attention")
    layers = [(layer, 0, place) for layer, place in places.items()]
    two = f"{root}/encoder/bidirectional_rnn"
    layers += [("encoder.1", way, f"{two}/{side}w") for way, side in enumerate("fb")]
    for layer, way, place in layers:
        matrices = [values[f"{layer}.{kind}"][way] for kind in ("input", "recurrent")]
        i, o, f, j = np.split(np.concatenate(matrices, axis=1), 4)
        bi, bo, bf, bj, *_ = np.split(values[f"{layer}.bias"][way], 8)
        found[f"{place}/basic_lstm_cell/kernel"] = np.concatenate([i, j, f, o]).T
        found[f"{place}/basic_lstm_cell/bias"] = np.concatenate([bi, bj, bf - 1, bo])
    return {name: np.array(value, np.float32, order="C") for name, value in found.items()}


@pytest.fixture
def small(monkeypatch):
    """GNMT with few units and words, and random weights for it."""
    monkeypatch.setattr("engine.models.gnmt.VOCABULARY", 40)
    network = network_of("gnmt", 0.0078125)
    draw = np.random.default_rng(4)
    values = {n: draw.normal(size=s).astype(np.float32) for n, s in network.shapes.items()}
    for name, value in values.items():
        if name.endswith(".bias") and value.ndim == 2:
            value[:, value.shape[1] // 2 :] = 0  # TensorFlow has one bias, ONNX two
    return network, values


def test_a_translator_comes_back_as_it_was(small, tmp_path):
    network, values = small
    theirs = as_nmt(values) | {"dynamic_seq2seq/decoder/output_projection/kernel/Adam": np.ones(2)}
    path = checkpoint(tmp_path, {n: np.asarray(v, np.float32) for n, v in theirs.items()}, 5)
    found = weights.from_file(network, path)
    for name, value in values.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6, atol=1e-6, err_msg=name)
    gone = "dynamic_seq2seq/decoder/multi_rnn_cell/cell_2/basic_lstm_cell/bias"
    checkpoint(tmp_path, {n: v for n, v in as_nmt(values).items() if n != gone})
    with pytest.raises(ConfigError, match=r"tensor decoder\.3\.\w+ .* is missing"):
        weights.from_file(network, path)


def test_a_layer_computes_what_theirs_does():
    """TensorFlow's BasicLSTMCell written out, with its forget bias of 1."""
    inputs, units, steps = 3, 4, 5
    draw = np.random.default_rng(0)
    kernel, bias, x = (
        draw.normal(size=s).astype(np.float32)
        for s in ((inputs + units, 4 * units), (4 * units,), (steps, 1, inputs))
    )
    h, c = np.zeros((1, units)), np.zeros((1, units))
    for step in x:
        i, j, f, o = np.split(np.concatenate([step, h], axis=1) @ kernel + bias, 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f + 1, o))
        c = f * c + i * np.tanh(j)
        h = o * np.tanh(c)
    b = Builder(epsilon=0.0)
    said = lstm(b, "x", "layer", inputs, units)
    info = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", said.hidden)
    ]
    network = b.network("layer", info[:1], info[1:], said.hidden, [])
    own = {f"layer.{kind}": value for kind, value in foreign_gnmt._lstm(kernel, bias).items()}
    session = onnxruntime.InferenceSession(network.model(own).SerializeToString())
    np.testing.assert_allclose(session.run([said.hidden], {"x": x})[0][0], h, rtol=1e-4, atol=1e-5)


def test_what_is_no_float_tensor_of_a_checkpoint_is_left_out(tmp_path):
    path = checkpoint(tmp_path, {"step": np.ones(1, np.int32)}, dtype=INT32)
    assert tensorflow_checkpoint.read(path) == {}


def test_damaged_and_foreign_checkpoints_are_refused(small, tmp_path, damaged):
    network, _ = small
    ones = {"a": np.ones((2, 3), np.float32), "b": np.ones(3, np.float32)}

    def refused(message="cannot be read as a TensorFlow checkpoint"):
        with pytest.raises(ConfigError, match=message):
            weights.from_file(network, tmp_path / "net.index")

    path = checkpoint(tmp_path, ones, extra=field(7, b""))
    refused("in slices")
    checkpoint(tmp_path, ones, header=field(1, 1) + field(2, 1))
    refused("big-endian")
    checkpoint(tmp_path, ones, extra=field(3, 1))
    refused("no place")
    checkpoint(tmp_path, ones)
    assert {n: v.tolist() for n, v in tensorflow_checkpoint.read(path).items()} == {
        name: value.tolist() for name, value in ones.items()
    }
    known = weights.content_sha256(path)
    whole, shard = path.read_bytes(), path.with_suffix(".data-00000-of-00001")
    for content in damaged(whole, 5, 200):
        path.write_bytes(content)
        refused(None)  # unreadable, or without the network's tensors
    path.write_bytes(whole[:20] + bytes([whole[20] ^ 1]) + whole[21:])
    refused("a block of it is damaged")
    path.write_bytes(whole)
    content = shard.read_bytes()
    for at in range(len(content)):
        shard.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        refused(f"tensor {'a' if at < 24 else 'b'} is damaged")
    assert weights.content_sha256(path) != known  # or the cache would give the older network
    shard.write_bytes(bytes(20))
    refused("does not lie in its shard")
    shard.unlink()
    refused("data-00000-of-00001")
