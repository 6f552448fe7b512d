"""GNMT: recurrent translation with attention and beam search, as in the suite's v0.5 reference.

Four layers of LSTMs encode (the first of them in both directions), four decode; the attention is
normalised Bahdanau's (gnmt_v2: it asks with the first decoder layer, and all others see what it
finds); layers from the third on are residual (Wu et al., arXiv:1609.08144, section 3). The beam
search is part of the network (``engine.models.beam``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from onnx import TensorProto, ValueInfoProto, helper

from engine.models import beam
from engine.models.graph import Builder, Drawn, Network, repeated, scaled

UNITS = 1024
LAYERS = 4
VOCABULARY = 36548
"""Tokens of each language in WMT16's files: 32,000 joint byte-pair merges, and the characters."""

RESIDUAL_FROM = 3
ATTENTION_SCALE = 10.0
SEES, RECALLS = 2.0, 0.125
"""Spread of what a seeded unit adds up of its input, and of its layer's last output."""

ONE = (np.ones(1, np.float32), np.zeros(1, np.float32))
CLOCKS = 4
"""One unit in so many of a seeded layer counts time and sees nothing else: where sentences are
random to a network, the place in them is what attention can go by."""


@dataclass(frozen=True)
class Memory:
    """What the decoder sees of a batch of encoded sentences, as names of tensors.

    ``values`` [n, S, units], ``keys`` [n, 1, S, units], ``inside`` [n, 1, S]: 1 where the sentence
    is, 0 after its end; ``mask``: 0 there, and a very low score after the end. ``states``: hidden
    and cell state [1, n, units] of each layer, which the decoder starts from.
    """

    values: str
    keys: str
    inside: str
    mask: str
    states: tuple[tuple[str, str], ...]


def network(name: str, width: float = 1.0, size: int = 0, depth: float = 1.0) -> Network:
    """Encoder, and decoder in a beam search.

    Inputs: ``tokens`` int32 [n, longest], ``length`` int32 [n]. Output ``translation`` int32
    [n, T]: the best beam's tokens, END after its end.
    """
    b, units = Builder(epsilon=0.0), scaled(UNITS, width)
    memory = encode(b, units, max(2, repeated(LAYERS, depth)))
    decoder_weights(b, units)
    response = beam.search(b, memory, units, partial(decode, memory=memory, units=units))
    outputs = [helper.make_tensor_value_info(response, TensorProto.INT32, ["batch", "steps"])]
    return b.network(name, sentence_inputs(), outputs, response, [])


def sentence_inputs() -> list[ValueInfoProto]:
    """``tokens`` and ``length`` of a batch of sentences."""
    return [
        helper.make_tensor_value_info("tokens", TensorProto.INT32, ["batch", "longest"]),
        helper.make_tensor_value_info("length", TensorProto.INT32, ["batch"]),
    ]


def encode(b: Builder, units: int, layers: int = LAYERS) -> Memory:
    """The encoder, and the attention's view of what it says."""
    last = b.constant("axis.last", [-1], np.int64)
    first = b.constant("axis.first", [0], np.int64)
    longest = b.node("ReduceMax", "longest", ["length"], keepdims=1)
    longest = b.node("Cast", "longest.int64", [longest], to=TensorProto.INT64)
    one = b.constant("axis.time", [1], np.int64)
    tokens = b.node("Slice", "tokens.used", ["tokens", first, longest, one])
    b.shapes["embedding.source"] = (VOCABULARY, units)
    b.drawn["embedding.source"] = ONE
    x = b.node("Gather", "source", ["embedding.source", tokens])
    x = b.node("Transpose", "source.by_time", [x], perm=[1, 0, 2])
    states = []
    for layer in range(1, layers + 1):
        both = layer == 1
        inputs = 2 * units if layer == 2 else units
        out = lstm(b, x, f"encoder.{layer}", inputs, units, "length", both=both)
        states.append((out.hidden, out.cell))
        x = b.add(out.all, x, f"encoder.{layer}.sum") if layer >= RESIDUAL_FROM else out.all
    values = b.node("Transpose", "memory", [x], perm=[1, 0, 2])
    keys = _linear(b, values, "attention.key", units)
    keys = b.node("Unsqueeze", "keys", [keys, one])
    inside, mask = _mask(b, longest, last, one)
    return Memory(values, keys, inside, mask, tuple(states))


def _mask(b: Builder, longest: str, last: str, one: str) -> tuple[str, str]:
    scalar = b.node("Squeeze", "longest.scalar", [longest])
    limits = [b.constant("zero", 0, np.int64), scalar, b.constant("one", 1, np.int64)]
    place = b.node("Cast", "place", [b.node("Range", "range", limits)], to=TensorProto.INT32)
    inside = b.node("Less", "inside.bool", [place, b.node("Unsqueeze", "ends", ["length", last])])
    inside = b.node("Cast", "inside.flat", [inside], to=TensorProto.FLOAT)
    inside = b.node("Unsqueeze", "inside", [inside, one])
    outside = b.node("Sub", "outside", [inside, b.constant("one.float", 1.0)])
    return inside, b.node("Mul", "mask", [outside, b.constant("lowest", 1e9)])


@dataclass(frozen=True)
class Said:
    """What a recurrent layer says: ``all`` [S, n, units or twice as many], its last states."""

    all: str
    hidden: str
    cell: str


def lstm(
    b: Builder,
    x: str,
    name: str,
    inputs: int,
    units: int,
    length: str = "",
    start: Sequence[str] = (),
    both: bool = False,
) -> Said:
    """A layer of LSTMs on ``x`` [S, n, inputs], from ``start`` on; gates in ONNX's order, iofc.

    Of two directions the second one's states are passed on, as the reference does.
    """
    ways = 2 if both else 1
    names = [f"{name}.{part}" for part in ("input", "recurrent", "bias")]
    b.shapes |= {
        names[0]: (ways, 4 * units, inputs),
        names[1]: (ways, 4 * units, units),
        names[2]: (ways, 8 * units),
    }
    b.drawn |= zip(names, _reservoir(inputs, units), strict=True)
    outputs = [f"{name}.{part}" for part in ("all", "hidden", "cell")]
    direction = "bidirectional" if both else "forward"
    b.nodes.append(
        helper.make_node(
            "LSTM",
            [x, *names, length, *start],
            outputs,
            name,
            hidden_size=units,
            direction=direction,
        )
    )
    said, *states = outputs
    if both:
        said = b.node("Transpose", f"{said}.beside", [said], perm=[0, 2, 1, 3])
        flat = b.constant(f"{name}.flat", [0, 0, 2 * units], np.int64)
        second = b.constant(f"{name}.second", [1], np.int64)
        states = [b.node("Gather", f"{state}.second", [state, second]) for state in states]
        return Said(b.node("Reshape", f"{name}.out", [said, flat]), *states)
    one = b.constant(f"{name}.axis", [1], np.int64)
    return Said(b.node("Squeeze", f"{name}.out", [said, one]), *states)


def _reservoir(inputs: int, units: int) -> tuple[Drawn, Drawn, Drawn]:
    """Factor and shift of a seeded layer's noise: input and recurrent weights, and biases.

    An echo-state network: most units see their input and soon forget it; the others are clocks.
    """
    clock = np.arange(units) < units // CLOCKS
    sees = np.tile(~clock, 4).astype(np.float32)[:, None]
    gain, back = (
        np.float32(spread) * np.sqrt(np.float32(3) / np.float32(count))
        for spread, count in ((SEES, inputs), (RECALLS, units))
    )
    nothing = np.zeros(1, np.float32)
    noise, shift = np.zeros((8, units), np.float32), np.zeros((8, units), np.float32)
    keep, cell = 2, 3
    noise[keep], noise[cell] = np.where(clock, 0, 1.5), 0.25
    shift[1], shift[keep] = np.where(clock, 2, 0), np.where(clock, 20, -1)
    return (
        (sees * gain, nothing),
        (sees * back, nothing),
        (noise.ravel(), shift.ravel()),
    )


@dataclass(frozen=True)
class Step:
    """What the decoder says of each of the N = n K beams.

    ``asking``, ``features`` [N, units]: of its first and last layer. ``logits`` [N, VOCABULARY],
    ``attention`` [n, K, S], ``context`` [N, units], and its new ``states``.
    """

    asking: str
    features: str
    logits: str
    attention: str
    context: str
    states: tuple[str, ...]


def decode(
    b: Builder,
    memory: Memory,
    units: int,
    token: str,
    context: str,
    states: Sequence[str],
    beams: int = beam.WIDTH,
) -> Step:
    """One step for all ``beams`` of each sentence, from their last ``token`` [N], ``context``
    [N, units] and ``states`` [1, N, units]: hidden and cell of each layer."""
    x = b.node("Gather", "target", ["embedding.target", token])
    front = b.constant("axis.front", [0], np.int64)
    x = b.node("Concat", "decoder.1.in", [x, context], axis=1)
    x = b.node("Unsqueeze", "decoder.1.x", [x, front])
    said = lstm(b, x, "decoder.1", 2 * units, units, start=states[:2])
    new = [said.hidden, said.cell]
    x = asking = b.node("Squeeze", "decoder.1.h", [said.hidden, front])
    attention, context = _attend(b, memory, x, units, beams)
    for layer in range(2, len(states) // 2 + 1):
        name = f"decoder.{layer}"
        seen = b.node("Concat", f"{name}.in", [x, context], axis=1)
        seen = b.node("Unsqueeze", f"{name}.x", [seen, front])
        start = states[2 * layer - 2 : 2 * layer]
        said = lstm(b, seen, name, 2 * units, units, start=start)
        new += [said.hidden, said.cell]
        out = b.node("Squeeze", f"{name}.h", [said.hidden, front])
        x = b.add(out, x, f"{name}.sum") if layer >= RESIDUAL_FROM else out
    logits = b.node("MatMul", "logits", [x, PROJECTION])
    return Step(asking, x, logits, attention, context, tuple(new))


def _attend(b: Builder, memory: Memory, state: str, units: int, beams: int) -> tuple[str, str]:
    """Where to look, [n, K, S], and what is seen there, [N, units], as asked by ``state``."""
    query = b.node("MatMul", "query.flat", [state, QUERY])
    apart = b.constant("query.apart", [-1, beams, 1, units], np.int64)
    query = b.node("Reshape", "query", [query, apart])
    query = b.add(query, "attention.bias", "query.shifted")
    energy = b.node("Tanh", "energy", [b.add(memory.keys, query, "energy.in")])
    score = b.add(b.node("MatMul", "score", [energy, DIRECTION]), memory.mask, "score.inside")
    attention = b.node("Softmax", "attention", [score], axis=-1)
    seen = b.node("MatMul", "context.apart", [attention, memory.values])
    flat = b.constant("context.flat", [-1, units], np.int64)
    return attention, b.node("Reshape", "context", [seen, flat])


QUERY, DIRECTION, PROJECTION = (
    "attention.query.by_unit",
    "attention.direction",
    "projection.by_unit",
)
"""Weights as the decoder multiplies by them, made once and not in every step."""


def decoder_weights(b: Builder, units: int) -> None:
    """Normalised attention: its vector has the length ``attention.scale``, whatever it holds."""
    b.drawn |= {"embedding.target": ONE, "attention.vector": ONE}
    b.shapes |= {
        "embedding.target": (VOCABULARY, units),
        "attention.query": (units, units),
        "attention.bias": (units,),
        "attention.vector": (units,),
        "attention.scale": (1,),
        "projection": (VOCABULARY, units),
    }
    b.filled |= {"attention.bias": 0.0, "attention.scale": ATTENTION_SCALE}
    b.node("Transpose", QUERY, ["attention.query"])
    b.node("Transpose", PROJECTION, ["projection"])
    norm = b.node("ReduceL2", "attention.norm", ["attention.vector"], keepdims=1)
    scaled_by = b.node("Div", "attention.factor", ["attention.scale", norm])
    b.node("Mul", DIRECTION, ["attention.vector", scaled_by])


def _linear(b: Builder, x: str, name: str, units: int) -> str:
    b.shapes[name] = (units, units)
    return b.node("MatMul", f"{name}.out", [x, b.node("Transpose", f"{name}.by_unit", [name])])
