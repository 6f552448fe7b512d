"""Every layer on the device against ONNX Runtime on the processor, element by element."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sut.cupy.executor import Executor
from sut.cupy.graph import Network
from sut.cupy.steps import FLOATING, stored_as


def differences(
    executor: Executor, network: Network, path: Path, images: Any, samples: Any
) -> list[tuple[str, str, float, float]]:
    """Kind, name, relative error (in the 2-norm) and mean error over mean size of each layer.

    ``path``: the network in fp32; ``images``: its input, float32 [n, 3, height, width], which
    ``samples`` holds on the device.
    """
    expected = reference(path, [layer.name for layer in network.layers], images)
    executor.rows[0, : len(images)] = np.arange(len(images))
    found = []
    for layer, made in executor.each_layer(len(images), samples):
        whole = type(layer).__name__ in ("Average", "Dense")
        own = FLOATING if whole else stored_as(network, layer.name)
        wanted = expected[layer.name].reshape(made.shape)
        apart = (made - own.zero) / own.factor - wanted
        size = np.linalg.norm(wanted)
        bias = float(apart.mean() / np.abs(wanted).mean())
        error = float(np.linalg.norm(apart) / size)
        found.append((type(layer).__name__, layer.name, error, bias))
    return found


def reference(path: Path, names: list[str], images: Any) -> dict[str, Any]:
    """What ONNX Runtime computes of ``images`` for the tensors ``names``, by name."""
    return tensors(path, names, {"": images})


def tensors(path: Path, names: list[str], feed: dict[str, Any]) -> dict[str, Any]:
    """What ONNX Runtime computes of inputs by name, "" for the first one's."""
    import onnx
    import onnxruntime as ort

    model = onnx.load(str(path))
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    first = session.get_inputs()[0].name
    outputs = session.run(names, {name or first: values for name, values in feed.items()})
    return dict(zip(names, outputs, strict=True))
