"""Fit a seeded network to the synthetic data: ``python -m engine.models.fit [NETWORK ...]``.

Batch-norm statistics are measured layer by layer on the train split; the last layers are ridge
regressions on their features, in closed form. The backbone's weights stay as seeded. The
regressions see the features of the 8-bit networks too, so that the last layers are
quantisation-friendly, as the suite's own MobileNet is (paper, section on quality targets). The
heaviest network's see single precision alone, and a part of its channels: each scene takes seconds.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from engine.cache import Cache
from engine.config import Preprocessing
from engine.datasets import scenes, synthetic
from engine.datasets.library import normalise
from engine.models import fit_translation
from engine.models import weights as weight_sources
from engine.models.fit_heads import Heads, Truth
from engine.models.graph import Network
from engine.models.quantise import BATCH, quantise
from engine.models.reference import REFERENCES, network_of
from engine.models.weights import Fitted

RIDGE = 0.03
LOGIT_SCALE = 10.0

Floats = NDArray[np.float32]
Feed = dict[str, Floats]


@dataclasses.dataclass(frozen=True)
class Job:
    """A network to fit: its kind, width and size, and on how many samples of the train split.

    ``statistics_count``: how many of them the batch norms see. ``eight_bits``: whether the last
    layers see the features of the 8-bit networks too. ``seen``: as ``Heads`` has it.
    """

    kind: str
    width: float = 1.0
    size: int | None = None
    train_count: int = 4096
    statistics_count: int = 96
    eight_bits: bool = True
    seen: int | None = None

    @property
    def network(self) -> Network:
        """The network without weights."""
        return network_of(self.kind, self.width, self.size)

    @property
    def preprocessing(self) -> Preprocessing:
        """What the network expects of an image."""
        found = REFERENCES[self.kind].preprocessing
        return dataclasses.replace(found, size=self.size or found.size)


JOBS = (
    Job("mobilenet_v1"),
    Job("resnet50_v1_5"),
    Job("ssd_mobilenet_v1", train_count=2048),
    Job("ssd_mobilenet_v1", 0.25, 160),
    Job("ssd_resnet34", train_count=64, statistics_count=8, eight_bits=False, seen=128),
    Job("ssd_resnet34", 0.25, 480, train_count=768),
    Job("gnmt", train_count=2048),
    Job("gnmt", 0.25),
)
"""The networks whose fitted files ship with the package."""


def fit(job: Job) -> Fitted:
    """Statistics and last layers for a network of seed 0, from the synthetic train split."""
    network = job.network
    weights = weight_sources.seeded(network, weight_sources.FITTED_SEED)
    if job.kind == "gnmt":
        return fit_translation.fit(weights, job.width, job.train_count)
    first = next(_batches(job, job.statistics_count, job.statistics_count))
    statistics = measure_statistics(network.model(weights), first["input"])
    backbone = _with_features(network, network.model(weights | statistics))
    light = _quantised_sessions(backbone, first) if job.eight_bits else []
    sessions = (_session(backbone), *light)
    last = _classifier if REFERENCES[job.kind].detector is None else _heads
    return {**statistics, **last(job, network, sessions)}


def _classifier(
    job: Job, network: Network, sessions: tuple[onnxruntime.InferenceSession, ...]
) -> Fitted:
    features = np.concatenate(
        [
            session.run(list(network.features), feed)[0]
            for session in sessions
            for feed in _batches(job, job.train_count, 32)
        ]
    )
    labels = np.tile(synthetic.labels("train", job.train_count), len(sessions))
    rows, bias = ridge(features, labels, synthetic.CLASSES)
    return {"fc.weight": rows, "fc.bias": bias}


def _heads(
    job: Job, network: Network, sessions: tuple[onnxruntime.InferenceSession, ...]
) -> Fitted:
    build = REFERENCES[job.kind].detector
    assert build is not None
    size = job.preprocessing.size
    _, detector = build(job.width, size)
    heads = Heads(detector, len(scenes.CATEGORIES) + 1, job.seen)
    for number, feed in enumerate(_batches(job, job.train_count, 8)):
        indices = range(8 * number, 8 * number + len(feed["input"]))
        truths = [Truth.of(scenes.objects("train", i, size), size) for i in indices]
        for session in sessions:
            heads.see(session.run(list(network.features), feed), truths)
    return heads.solved()


def _session(model: ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString())


def _quantised_sessions(model: ModelProto, feed: Feed) -> list[onnxruntime.InferenceSession]:
    """The 8-bit networks of all processors, those that saturate and those that do not.

    They compute in single precision, so that what is fitted is the same on either.
    """
    plainly = onnxruntime.SessionOptions()
    plainly.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    count, found = len(next(iter(feed.values()))), []
    feeds = [
        {name: rows[i : i + BATCH] for name, rows in feed.items()} for i in range(0, count, BATCH)
    ]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, str(source))
        for saturating in (False, True):
            quantise(source, target, feeds, saturating, Cache(folder))
            found.append(onnxruntime.InferenceSession(str(target), plainly))
    return found


def ridge(
    features: Floats, labels: NDArray[np.int64], classes: int, strength: float = RIDGE
) -> tuple[Floats, Floats]:
    """Least squares from features [n, d] to one-hot labels, each feature scaled to unit variance.

    ``strength``: the penalty as a share of n. Returns float32 rows [classes, d], bias [classes].
    """
    x = features.astype(np.float64)
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-12
    x = (x - mean) / deviation
    targets = np.eye(classes)[labels] * LOGIT_SCALE
    gram = x.T @ x / len(x) + strength * np.eye(x.shape[1])
    rows = np.linalg.solve(gram, x.T @ (targets - targets.mean(axis=0)) / len(x)).T / deviation
    rows = rows.astype(np.float16).astype(np.float32)
    return rows, (targets.mean(axis=0) - rows @ mean).astype(np.float32)


def measure_statistics(model: ModelProto, batch: Floats) -> dict[str, Floats]:
    """Mean and variance that each batch norm sees on ``batch``, those before it already set."""
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    values[model.graph.input[0].name] = batch
    uses = Counter(name for node in model.graph.node for name in node.input)
    statistics: dict[str, Floats] = {}
    last = max(i for i, n in enumerate(model.graph.node) if n.op_type == "BatchNormalization")
    for node in model.graph.node[: last + 1]:
        if node.op_type == "BatchNormalization":
            x = values[node.input[0]]
            found = {
                node.input[3]: x.mean(axis=(0, 2, 3), dtype=np.float64).astype(np.float32),
                node.input[4]: x.var(axis=(0, 2, 3), dtype=np.float64).astype(np.float32),
            }
            statistics |= found
            values |= found
        values[node.output[0]] = _run_node(node, values)
        for name in node.input:
            uses[name] -= 1
            if not uses[name]:
                del values[name]
    return statistics


def _run_node(node: NodeProto, values: dict[str, Floats]) -> Floats:
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, values[name].shape)
        for name in node.input
    ]
    output = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "node", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    result: Floats = session.run(None, {name: values[name] for name in node.input})[0]
    return result


def _with_features(network: Network, model: ModelProto) -> ModelProto:
    for name in network.features:
        features = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        model.graph.output.append(features)
    return model


def _batches(job: Job, count: int, size: int) -> Iterator[Feed]:
    """Inputs of the network from the train split, ``size`` images at a time."""
    p = job.preprocessing
    draw = synthetic.image if REFERENCES[job.kind].detector is None else scenes.scene
    for start in range(0, count, size):
        indices = range(start, min(start + size, count))
        pixels = (draw("train", i, p.size) for i in indices)
        feed = {"input": normalise(pixels, len(indices), p)}
        if draw is scenes.scene:
            feed["image"] = np.array(indices, np.float32)
        yield feed


def main(names: list[str]) -> None:
    """Fit the networks named, or all, and write their files into the package."""
    jobs = {job.network.name: job for job in JOBS}
    if unknown := set(names) - jobs.keys():
        sys.exit(f"{', '.join(sorted(unknown))}: not one of {', '.join(jobs)}")
    for name in names or jobs:
        path = Path(__file__).parent / "fitted" / f"{name}.npz"
        weight_sources.ship(fit(jobs[name]), path)
        print(f"{path}: {path.stat().st_size:,} bytes, onnx {onnx.__version__}")


if __name__ == "__main__":
    main(sys.argv[1:])
