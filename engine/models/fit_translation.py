"""A translator's attention and output layer by ridge regression; the rest of it is an echo-state
network.

The decoder is told the true translation of training sentences. First the attention: two of its
units learn to tell a token's place from the encoder's answer, and the place to look at from the
decoder's first layer; where both agree, their difference is largest. Then the output layer, from
the decoder's features to the next token; it sees those of the 8-bit network too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from engine.cache import Cache
from engine.datasets.language import SOURCE, TARGET, Pair, pair
from engine.datasets.sentences import padded
from engine.models import gnmt
from engine.models.beam import END, START
from engine.models.graph import Builder, Network, Weights, scaled
from engine.models.quantise import quantise_weights
from engine.models.saturation import products_saturate
from engine.models.weights import planted

SHARPNESS, REACH = 2.0, 1.0
"""Of the place that attention looks at, in tokens."""

ROUNDS = 2
FOR_ATTENTION = 512
RIDGE = 1e-4
"""A weaker one fits FP32 a little better and falls apart in 8 bits."""
LOGIT_SCALE = 12.0
UNUSED = -3.0
BATCH = 64

Floats = NDArray[np.float32]
Moments = NDArray[np.float64]


def fit(weights: Weights, width: float, count: int) -> dict[str, Floats]:
    """What to plant into seeded ``weights``, from ``count`` sentences of the train split."""
    forced, units = _forced(width), scaled(gnmt.UNITS, width)
    found: dict[str, Floats] = {}
    for _ in range(ROUNDS):
        place, look = _Sums(units, 1), _Sums(units, 1)
        for batch in _batches(_session(forced, weights, found), min(count, FOR_ATTENTION)):
            place.see(batch.memory[batch.is_source], batch.place[batch.is_source][:, None])
            look.see(batch.asking[batch.is_target], batch.aligned[batch.is_target][:, None])
        found |= _attention(place.solved(), look.solved(), units)
    output = _Sums(units, len(TARGET.vocabulary) + 1, constant=False)
    for session in (_session(forced, weights, found), _light_session(forced, weights, found)):
        for batch in _batches(session, count):
            wanted = np.eye(output.wanted)[batch.next[batch.is_target]]
            wanted[:, -1] = UNUSED  # all words that never come
            output.see(batch.features[batch.is_target], wanted)
    rows = output.solved().T * LOGIT_SCALE
    return found | {"projection": rows.astype(np.float32)}


def _attention(place: Moments, look: Moments, units: int) -> dict[str, Floats]:
    """Two units of opposite sign, a step up and a step down around the place to look at."""
    vector = np.zeros(units, np.float32)
    vector[:2] = 1, -1
    bias = np.zeros(units, np.float32)
    bias[:2] = SHARPNESS * (place[-1] - look[-1]) + np.array([REACH, -REACH])
    return {
        "attention.key": np.repeat(SHARPNESS * place[:-1].T, 2, axis=0).astype(np.float32),
        "attention.query": np.repeat(-SHARPNESS * look[:-1].T, 2, axis=0).astype(np.float32),
        "attention.bias": bias,
        "attention.vector": vector,
    }


class _Sums:
    """Second moments of features (a 1 appended, if ``constant``) with themselves and targets."""

    def __init__(self, units: int, wanted: int, constant: bool = True) -> None:
        self.constant, self.wanted = constant, wanted
        self.gram = np.zeros((units + constant,) * 2)
        self.cross = np.zeros((units + constant, wanted))

    def see(self, features: Floats, wanted: NDArray[Any]) -> None:
        """Take in rows of features and of targets."""
        x = features.astype(np.float64)
        if self.constant:
            x = np.hstack([x, np.ones((len(x), 1))])
        self.gram += x.T @ x
        self.cross += x.T @ wanted

    def solved(self) -> Moments:
        """Weights [features, wanted], the constant's last."""
        penalty = RIDGE * np.trace(self.gram) / len(self.gram)
        return np.linalg.solve(self.gram + penalty * np.eye(len(self.gram)), self.cross)


class _Batch:
    """Sentences side by side, and what the network says while it is told their translations."""

    def __init__(self, session: onnxruntime.InferenceSession, pairs: Sequence[Pair]) -> None:
        source = [[_IDS[0][word] for word in p.source] + [END] for p in pairs]
        target = [[_IDS[1][word] for word in p.target] + [END] for p in pairs]
        aligned = [[*p.aligned, len(p.source)] for p in pairs]
        self.length = np.array([len(row) for row in source], np.int32)
        tokens, self.next = padded(source), padded(target).astype(np.int64)
        self.aligned = padded(aligned)
        told = np.hstack([np.full((len(pairs), 1), START), self.next[:, :-1]])
        feed = {"tokens": tokens, "length": self.length, "told": told}
        memory, asking, features = session.run(None, feed)
        self.memory = memory
        self.asking, self.features = asking.transpose(1, 0, 2), features.transpose(1, 0, 2)
        self.place = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
        self.is_source = self.place < self.length[:, None]
        ends = np.array([[len(row)] for row in target])
        self.is_target = np.arange(self.next.shape[1]) < ends


_IDS = [{word: i for i, word in enumerate(lexicon.vocabulary)} for lexicon in (SOURCE, TARGET)]


def _batches(session: onnxruntime.InferenceSession, count: int) -> Iterator[_Batch]:
    for first in range(0, count, BATCH):
        indices = range(first, min(first + BATCH, count))
        yield _Batch(session, [pair("train", i) for i in indices])


def _session(
    network: Network, weights: Weights, found: dict[str, Floats]
) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(network.model(planted(weights, found)).SerializeToString())


def _light_session(
    network: Network, weights: Weights, found: dict[str, Floats]
) -> onnxruntime.InferenceSession:
    """The same in 8 bits."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save(network.model(planted(weights, found)), str(source))
        quantise_weights(source, target, products_saturate(), Cache(folder))
        return onnxruntime.InferenceSession(str(target))


def _forced(width: float) -> Network:
    """The network without its search: in each step the decoder is ``told`` the token before."""
    b, units = Builder(epsilon=0.0), scaled(gnmt.UNITS, width)
    memory = gnmt.encode(b, units)
    gnmt.decoder_weights(b, units)
    body = Builder(b.epsilon, shapes=b.shapes, drawn=b.drawn, filled=b.filled)
    token = body.node("Gather", "told.now", ["told", "step"], axis=1)
    names = [f"last.{i}" for i in range(2 * len(memory.states))]
    said = gnmt.decode(body, memory, units, token, "last.context", names, beams=1)
    body.nodes.pop()  # the logits: nothing here needs them
    on = body.node("Identity", "going.on", ["going"])
    tensor = helper.make_tensor_value_info
    kinds: dict[str, Sequence[str | int | None]] = {"last.context": ["n", units]}
    kinds |= {name: [1, "n", units] for name in names}
    inputs = [
        tensor("step", TensorProto.INT64, []),
        tensor("going", TensorProto.BOOL, []),
        *(tensor(name, TensorProto.FLOAT, shape) for name, shape in kinds.items()),
    ]
    results = [said.context, *said.states, said.asking, said.features]
    outputs = [tensor(name, TensorProto.FLOAT, None) for name in results]
    graph = helper.make_graph(
        body.nodes, "told", inputs, [tensor(on, TensorProto.BOOL, []), *outputs]
    )
    shape = b.node("Shape", "told.shape", ["told"])
    steps = b.node("Gather", "steps", [shape, b.constant("second", 1, np.int64)])
    batch = b.node("Shape", "batch", ["length"])
    wide = b.node("Concat", "wide", [batch, b.constant("units", [units], np.int64)], axis=0)
    first = b.node("Expand", "context.first", [b.constant("nothing", 0.0), wide])
    states = [name for pair in memory.states for name in pair]
    yes = b.constant("yes", True, np.bool_)
    after = [f"{name}.final" for name in kinds] + ["asking", "features"]
    b.nodes.append(helper.make_node("Loop", [steps, yes, first, *states], after, body=graph))
    told = tensor("told", TensorProto.INT64, ["batch", "steps"])
    said_all = [tensor(n, TensorProto.FLOAT, None) for n in (memory.values, "asking", "features")]
    return b.network("told", [*gnmt.sentence_inputs(), told], said_all, "features", [])
