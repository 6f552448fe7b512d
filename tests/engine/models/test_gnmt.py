"""GNMT's size, its beam search against one written out in Python, and its batches."""

from __future__ import annotations

import math

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from engine.models import beam, counting, gnmt, weights
from engine.models.graph import Builder
from engine.models.reference import network_of, variant_of

WORDS, PLACES, UNITS = 14, 4, 8


def parameters(network):
    return sum(math.prod(shape) for shape in network.shapes.values())


def test_its_size_is_the_published_one():
    """Paper, Table I: 210 M, with embeddings of both languages and an output layer of its own."""
    network = network_of("gnmt")
    assert math.floor(parameters(network) / 1e6) == 210
    shared = parameters(network) - math.prod(network.shapes["embedding.target"])
    assert shared / 1e6 == pytest.approx(173.5, abs=0.1)


def test_its_layers_are_the_reference_s():
    shapes = network_of("gnmt").shapes
    inputs = {name: shape[2] for name, shape in shapes.items() if name.endswith(".input")}
    assert inputs == {
        "encoder.1.input": 1024,
        "encoder.2.input": 2048,
        "encoder.3.input": 1024,
        "encoder.4.input": 1024,
        **{f"decoder.{layer}.input": 2048 for layer in range(1, 5)},
    }
    assert [name for name, s in shapes.items() if s[0] == 2] == [
        "encoder.1.input",
        "encoder.1.recurrent",
        "encoder.1.bias",
    ]


def test_small_versions_say_so():
    small = network_of("gnmt", 0.25)
    assert small.name == "gnmt_w0.25" and variant_of("gnmt", 0.25) == "width 0.25"
    assert variant_of("gnmt") == ""
    assert small.shapes["decoder.4.recurrent"] == (1, 1024, 256)


@pytest.fixture(scope="module")
def session():
    network = network_of("gnmt", 1 / 64)
    model = network.model(weights.seeded(network, 0))
    onnx.checker.check_model(model)
    assert counting.parameters(model) == parameters(network)
    return onnxruntime.InferenceSession(model.SerializeToString())


def test_what_comes_after_a_sentence_s_end_is_not_seen(session):
    rng = np.random.default_rng(3)
    length = np.array([7, 3, 5], np.int32)
    tokens = rng.integers(3, 100, (3, 9)).astype(np.int32)
    together = session.run(None, {"tokens": tokens, "length": length})[0]
    assert together.dtype == np.int32 and together.shape[1] <= beam.STEPS_PER_TOKEN * 7
    others = np.where(np.arange(9) < length[:, None], tokens, 50).astype(np.int32)
    assert (others != tokens).any()
    again = session.run(None, {"tokens": others, "length": length})[0]
    np.testing.assert_array_equal(again, together)
    alone = session.run(None, {"tokens": tokens[:1, :7], "length": length[:1]})[0]
    np.testing.assert_array_equal(alone[0], together[0])


def table_network():
    """A beam search over a language in which the last word alone decides on the next."""
    b = Builder(epsilon=0.0)
    b.constant("axis.first", [0], np.int64)
    b.constant("longest.int64", [PLACES], np.int64)
    b.constant("inside", np.ones((1, 1, PLACES)))
    states = tuple(b.constant(name, np.zeros((1, 1, UNITS))) for name in ("hidden", "cell"))
    memory = gnmt.Memory("", "", "inside", "", (states,))
    places = b.constant("places", [-1, beam.WIDTH, PLACES], np.int64)

    def decode(body, *, token, context, states):
        attention = body.node("Gather", "attention.rows", ["attends", token])
        attention = body.node("Reshape", "attention", [attention, places])
        logits = body.node("Gather", "logits", ["chances", token])
        keep = [body.node("Identity", f"{name}.kept", [name]) for name in states]
        return gnmt.Step("", "", logits, attention, context, tuple(keep))

    answer = beam.search(b, memory, UNITS, decode)
    tensor = helper.make_tensor_value_info
    inputs = [
        tensor("length", TensorProto.INT32, ["batch"]),
        tensor("chances", TensorProto.FLOAT, [WORDS, WORDS]),
        tensor("attends", TensorProto.FLOAT, [WORDS, PLACES]),
    ]
    output = tensor(answer, TensorProto.INT32, None)
    return b.network("table", inputs, [output], answer, []).model({})


def written_out(chances, attends):
    """The best of WIDTH beams, by lists and loops."""
    log = chances - np.log(np.exp(chances).sum(axis=1, keepdims=True))
    beams = [(0.0, 0.0, [beam.START], np.zeros(PLACES))]
    for _ in range(2 * PLACES):
        found = []
        for _, total, said, covered in beams:
            if len(said) > 1 and said[-1] == beam.END:
                found.append((_rank(total, said, covered), total, said, covered))
                continue
            now = covered + attends[said[-1]]
            for word in range(WORDS):
                more = total + log[said[-1], word]
                longer = [*said, word]
                found.append((_rank(more, longer, now), more, longer, now))
        beams = sorted(found, key=lambda each: -each[0])[: beam.WIDTH]
        if all(said[-1] == beam.END for _, _, said, _ in beams):
            break
    said = beams[0][2][1:]
    return said[: said.index(beam.END)] if beam.END in said else said


def _rank(total, said, covered):
    length = sum(word != beam.END for word in said[1:])
    penalty = ((5 + length) / 6) ** 1.0
    return total / penalty + 0.1 * np.log(np.clip(covered, 1e-6, 1)).sum()


def test_beam_search_finds_what_loops_over_lists_find():
    session = onnxruntime.InferenceSession(table_network().SerializeToString())
    rng = np.random.default_rng(7)
    lengths, greedy_differs = set(), 0
    for _ in range(20):
        chances = rng.normal(0, 2, (WORDS, WORDS)).astype(np.float32)
        attends = rng.dirichlet(np.full(PLACES, 0.3), WORDS).astype(np.float32)
        feed = {"length": np.array([PLACES], np.int32), "chances": chances, "attends": attends}
        answer = session.run(None, feed)[0][0].tolist()
        answer = answer[: answer.index(beam.END)] if beam.END in answer else answer
        assert answer == written_out(chances.astype(np.float64), attends)
        lengths.add(len(answer))
        greedy_differs += answer[:1] != [int(chances[beam.START].argmax())]
    assert len(lengths) > 2 and greedy_differs
