"""Weights of convolutions rounded to 8 bits so that their errors cancel in what a layer answers.

The nearest step is best for a weight by itself, not for a sum over inputs that go together. Here
the weights of an output channel are rounded one after the other, to the step below or above, and
those that are left make up for what each rounding changes on the calibration samples (GPTQ,
Frantar et al., arXiv:2210.17323, section 3). What ONNX Runtime's tools then round is whole already.
The limits of ``models.saturation`` hold for either step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from engine.models.saturation import STEPS, Overrides

GPTQ = "weights rounded so that their errors cancel (GPTQ)"
"""What a result says of it."""

SAMPLES_BYTES = 1 << 27
"""Of inputs, up to which samples are looked at: seven of SSD-ResNet-34, 200 of 224x224."""
PLACES = 8192
"""Of each layer's input that are looked at, on all samples together."""
DAMPING = 0.01
"""Added to each input's mean square, as a share of their average: few samples say little of many
inputs."""
BLOCK = 64
"""Weights of a channel after which those left make up for the errors of all of them at once."""
WHOLE = 1e-4
"""Steps from a whole number of which a weight is that many."""

Feed = Mapping[str, NDArray[np.float32]]
Floats = NDArray[np.float64]


def round_weights(
    model: ModelProto, kept: Sequence[str], feeds: Sequence[Feed], ranges: Overrides
) -> None:
    """Change the weights of all 2-D convolutions in ``model`` but those ``kept``, in place.

    ``feeds``: batches of the network's inputs by their names. ``ranges``: what ``STEPS`` stand for
    in each output channel, of weights where that is not the largest one.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    layers = _layers(model, kept)
    for name, moments in _moments(model, layers, feeds).items():
        weight = numpy_helper.to_array(weights[name])
        largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
        reach = np.array([x["rmax"] for x in ranges[name]]) if name in ranges else largest
        changed = rounded(weight, reach / STEPS, moments)
        weights[name].CopyFrom(numpy_helper.from_array(changed, name))


def rounded(
    weight: NDArray[np.float32], steps: NDArray[np.floating], moments: NDArray[np.floating]
) -> NDArray[np.float32]:
    """``weight`` [outputs, inputs of a group, height, width] in whole ``steps`` [outputs].

    ``moments``: products of a group's n inputs, added up over places: [groups, n, n].
    """
    groups, size, _ = moments.shape
    step = np.where(steps > 0, steps, 1).astype(np.float64).reshape(groups, -1, 1)
    left = weight.reshape(groups, -1, size) / step
    low, high = np.floor(left + WHOLE), np.ceil(left - WHOLE)
    factor = _factor(moments.astype(np.float64))
    found = np.empty_like(left)
    for start in range(0, size, BLOCK):
        end = min(start + BLOCK, size)
        errors = np.empty((*left.shape[:2], end - start))
        for at in range(start, end):
            found[..., at] = np.clip(np.rint(left[..., at]), low[..., at], high[..., at])
            error = (left[..., at] - found[..., at]) / factor[:, at, at, None]
            left[..., at + 1 : end] -= error[..., None] * factor[:, None, at, at + 1 : end]
            errors[..., at - start] = error
        left[..., end:] -= errors @ factor[:, start:end, end:]
    return (found * step).reshape(weight.shape).astype(np.float32)


def _factor(moments: Floats) -> Floats:
    """Upper triangles whose squares are the inverses of ``moments``, damped."""
    average = np.trace(moments, axis1=1, axis2=2)[:, None, None] / moments.shape[1]
    least = np.finfo(np.float32).tiny
    damped = moments + np.maximum(DAMPING * average, least) * np.eye(moments.shape[1])
    return np.linalg.cholesky(np.linalg.inv(damped)).swapaxes(1, 2)


def _layers(model: ModelProto, kept: Sequence[str]) -> dict[str, list[NodeProto]]:
    """The convolutions that read each weight, of weights that nothing else reads."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    found: dict[str, list[NodeProto]] = {}
    others: set[str] = set()
    for node in model.graph.node:
        if node.op_type == "Conv" and node.name not in kept:
            others.update(node.input[:1], node.input[2:])
            if node.input[1] in weights and len(weights[node.input[1]].dims) == 4:
                found.setdefault(node.input[1], []).append(node)
        else:
            others.update(node.input)
    return {name: nodes for name, nodes in found.items() if name not in others}


def _moments(
    model: ModelProto, layers: Mapping[str, Sequence[NodeProto]], feeds: Sequence[Feed]
) -> dict[str, NDArray[np.float32]]:
    """By a weight's name the products of its inputs, added up: float32 [groups, n, n]."""
    if not layers:
        return {}
    given = {value.name for value in model.graph.input}
    read = {node.input[0] for nodes in layers.values() for node in nodes}
    asked = sorted(read - given)
    shown = ModelProto()
    shown.CopyFrom(model)
    shown.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in asked)
    session = onnxruntime.InferenceSession(shown.SerializeToString(), onnxruntime.SessionOptions())
    kernels = {t.name: tuple(t.dims)[2:] for t in model.graph.initializer if t.name in layers}
    few = list(_few(feeds))
    share = -(-PLACES // sum(len(next(iter(feed.values()))) for feed in few))
    draw = np.random.default_rng(0)
    found: dict[str, NDArray[np.float32]] = {}
    for feed in few:
        seen: dict[str, list[NDArray[np.float32]]] = {}
        for one in _samples(feed):
            values = session.run(asked, one) if asked else []  # all outputs, if asked for none
            made = {**dict(zip(asked, values, strict=True)), **one}
            for name, nodes in layers.items():
                seen.setdefault(name, []).extend(
                    _inputs(made[node.input[0]][0], node, kernels[name], draw, share)
                    for node in nodes
                )
        for name, parts in seen.items():
            inputs = np.concatenate(parts, axis=1)
            products = inputs.swapaxes(1, 2) @ inputs
            found[name] = found[name] + products if name in found else products
    return found


def _few(feeds: Sequence[Feed]) -> Iterator[Feed]:
    """The first samples of ``feeds``, one at least, that ``SAMPLES_BYTES`` hold."""
    left = max(1, SAMPLES_BYTES // sum(array[:1].nbytes for array in feeds[0].values()))
    for feed in feeds:
        yield {name: array[:left] for name, array in feed.items()}
        left -= len(next(iter(feed.values())))
        if left <= 0:
            return


def _samples(feed: Feed) -> Iterator[Feed]:
    for i in range(len(next(iter(feed.values())))):
        yield {name: array[i : i + 1] for name, array in feed.items()}


def _inputs(
    image: NDArray[np.float32],
    node: NodeProto,
    kernel: tuple[int, ...],
    draw: np.random.Generator,
    most: int,
) -> NDArray[np.float32]:
    """What ``node`` multiplies its weights by at ``most`` places of ``image`` [channels, ...]:
    [groups, places, channels of a group * height * width]."""
    own = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    around = own.get("pads", [0] * 4)
    if own.get("auto_pad", b"NOTSET").startswith(b"SAME"):
        around = [kernel[0] // 2, kernel[1] // 2] * 2
    (down, right), (high, wide) = own.get("strides", (1, 1)), own.get("dilations", (1, 1))
    padded = np.pad(image, ((0, 0), (around[0], around[2]), (around[1], around[3])))
    reach = ((kernel[0] - 1) * high + 1, (kernel[1] - 1) * wide + 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(1, 2))
    windows = windows[:, ::down, ::right, ::high, ::wide]
    places = draw.permutation(windows.shape[1] * windows.shape[2])[:most]
    chosen = windows[:, places // windows.shape[2], places % windows.shape[2]]
    groups = own.get("group", 1)
    parts = chosen.reshape(groups, -1, len(places), kernel[0] * kernel[1]).swapaxes(1, 2)
    return np.ascontiguousarray(parts).reshape(groups, len(places), -1)
