"""Fit a seeded network to the synthetic data: ``python -m engine.models.fit [NETWORK ...]``.

Batch-norm statistics are measured layer by layer on the train split; the classifier is a ridge
regression on the pooled features, in closed form. The backbone's weights stay as seeded. The
regression sees the features of the 8-bit network too, so that the classifier is
quantisation-friendly, as the suite's own MobileNet is (paper, section on quality targets).
"""

from __future__ import annotations

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
from engine.datasets import synthetic
from engine.datasets.library import normalise
from engine.models import weights as weight_sources
from engine.models.graph import SIZE, Network
from engine.models.quantise import BATCH, needs_reduced_range, quantise
from engine.models.reference import PREPROCESSING, network_of
from engine.models.weights import Fitted

STATISTICS_COUNT = 96
TRAIN_COUNT = 4096
RIDGE = 0.03
LOGIT_SCALE = 10.0

Floats = NDArray[np.float32]


def fit(network: Network, preprocessing: Preprocessing, train_count: int = TRAIN_COUNT) -> Fitted:
    """Statistics and classifier rows for ``network`` at seed 0, from the synthetic train split."""
    weights = weight_sources.seeded(network, weight_sources.FITTED_SEED)
    first = next(_batches(STATISTICS_COUNT, STATISTICS_COUNT, preprocessing))
    statistics = measure_statistics(network.model(weights), first)
    backbone = _with_features(network, network.model(weights | statistics))
    features = np.concatenate(
        [
            _features(session, network.features, train_count, preprocessing)
            for session in (_session(backbone), _quantised_session(backbone, first))
        ]
    )
    labels = np.tile(synthetic.labels("train", train_count), 2)
    rows, bias = ridge(features, labels, synthetic.CLASSES)
    return Fitted(statistics, rows, bias)


def _features(
    session: onnxruntime.InferenceSession, output: str, count: int, preprocessing: Preprocessing
) -> Floats:
    batches = _batches(count, 32, preprocessing)
    return np.concatenate([session.run([output], {"input": batch})[0] for batch in batches])


def _session(model: ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString())


def _quantised_session(model: ModelProto, batch: Floats) -> onnxruntime.InferenceSession:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, str(source))
        chunks = [batch[i : i + BATCH] for i in range(0, len(batch), BATCH)]
        quantise(source, target, "input", chunks, needs_reduced_range(), Cache(folder))
        return onnxruntime.InferenceSession(str(target))


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
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            x = values[node.input[0]]
            found = {
                node.input[3]: x.mean(axis=(0, 2, 3), dtype=np.float64).astype(np.float32),
                node.input[4]: x.var(axis=(0, 2, 3), dtype=np.float64).astype(np.float32),
            }
            statistics |= found
            values |= found
        if node.op_type == "Gemm":
            break
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
    features = helper.make_tensor_value_info(network.features, TensorProto.FLOAT, None)
    model.graph.output.append(features)
    return model


def _batches(count: int, size: int, preprocessing: Preprocessing) -> Iterator[Floats]:
    for start in range(0, count, size):
        indices = range(start, min(start + size, count))
        pixels = synthetic.images("train", indices, SIZE)
        yield normalise(pixels, len(indices), preprocessing)


def main(names: list[str]) -> None:
    """Fit the networks named, or all, and write their files into the package."""
    if unknown := set(names) - PREPROCESSING.keys():
        sys.exit(f"{', '.join(sorted(unknown))}: not one of {', '.join(PREPROCESSING)}")
    for name in names or PREPROCESSING:
        fit_of = fit(network_of(name), PREPROCESSING[name])
        path = Path(__file__).parent / "fitted" / f"{name}.npz"
        weight_sources.ship(fit_of, path)
        print(f"{path}: {path.stat().st_size:,} bytes, onnx {onnx.__version__}")


if __name__ == "__main__":
    main(sys.argv[1:])
