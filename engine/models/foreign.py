"""Checkpoints of other frameworks in the names and layouts of the reference networks.

Tensors that are not recognised keep their names: whoever checks them can say so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.models import mobilenet_v1, resnet50_v1_5, ssd_mobilenet_v1

Tensors = Mapping[str, NDArray[Any]]

SLIM = re.compile(
    r"(?:FeatureExtractor/)?(?:MobilenetV1/)+Conv2d_(\d+)(?:_(depthwise|pointwise))?"
    r"/\w*?(weights|bias)(?:_quant/.*)?"
)
EXTRAS = re.compile(
    r"FeatureExtractor/MobilenetV1/Conv2d_13_pointwise_([12])_Conv2d_(\d)_\w+"
    r"/\w*?(weights|bias)(?:_quant/.*)?"
)
HEADS = re.compile(
    r"BoxPredictor_(\d)/(BoxEncoding|Class)Predictor/\w*?(weights|bias(?:es)?)(?:_quant/.*)?"
)
V2 = re.compile(
    r"FeatureExtractor/MobilenetV2/([\w/]+)/(?:(weights|depthwise_weights)|BatchNorm/(\w+))"
)
V2_BLOCK = re.compile(r"expanded_conv(?:_(\d+))?/(expand|depthwise|project)")
V2_EXTRAS = re.compile(r"layer_19_([12])_Conv2d_(\d)_\w+?(_depthwise)?")
SLIM_LOGITS = "MobilenetV1/Logits/Conv2d_1c_1x1/"
CLASSES = len(ssd_mobilenet_v1.CATEGORIES) + 1
ANCHORS = "anchors"
KERAS = re.compile(r"(?:res|bn)(\d)([a-f])_branch(1|2a|2b|2c)")
KERAS_BRANCHES = {"2a": ("conv1", "bn1"), "2b": ("conv2", "bn2"), "2c": ("conv3", "bn3")}
KERAS_SHORTCUT = ("downsample.0", "downsample.1")
STATISTICS = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
KERAS_EPSILON = 1e-3


def mobilenet_from_slim(tensors: Tensors) -> dict[str, NDArray[Any]]:
    """MobileNet-v1 as TF-Slim names it, its normalisation folded into weights and biases.

    What is left of a normalisation then is its shift.
    """
    found: dict[str, NDArray[Any]] = {}
    for name, value in tensors.items():
        if name == f"{SLIM_LOGITS}weights":
            found["fc.weight"] = value[:, 0, 0, :]
        elif name.startswith(SLIM_LOGITS) and name.endswith("bias"):
            found["fc.bias"] = value
        elif match := SLIM.fullmatch(name):
            number, layer, kind = match.groups()
            conv, norm = f"blocks.{number}.{layer}", f"blocks.{number}.{layer}_bn"
            conv, norm = (conv, norm) if layer else ("conv", "bn")
            found |= _folded(conv, norm, kind, value, layer == "depthwise")
        else:
            found[name] = value
    return found


def ssd_mobilenet_from_tensorflow(tensors: Tensors) -> dict[str, NDArray[Any]]:
    """SSD-MobileNet-v1 as TensorFlow's detection models name it, its normalisation folded.

    Their heads answer box by box and class by class within a box, ours the other way round.
    """
    found: dict[str, NDArray[Any]] = {}
    for name, value in mobilenet_from_slim(tensors).items():
        if match := EXTRAS.fullmatch(name):
            part, number, kind = match.groups()
            layer = f"extras.{int(number) - 1}.{int(part) - 1}"
            found |= _folded(layer, f"{layer}_bn", kind, value)
        elif match := HEADS.fullmatch(name):
            found |= _head(match, value if value.ndim == 1 else value.transpose(0, 3, 1, 2))
        elif name != ANCHORS:
            found[name] = value
    return found


def _head(match: re.Match[str], rows: NDArray[Any]) -> dict[str, NDArray[Any]]:
    number, what, kind = match.groups()
    layer, values = ("classes", CLASSES) if what == "Class" else ("boxes", 4)
    regrouped = rows.reshape(-1, values, *rows.shape[1:]).swapaxes(0, 1)
    part = "weight" if kind == "weights" else "bias"
    return {f"heads.{number}.{layer}.{part}": regrouped.reshape(rows.shape)}


def ssd_mobilenet_v2_from_tensorflow(tensors: Tensors) -> dict[str, NDArray[Any]]:
    """SSD-MobileNet-v2 as TensorFlow's frozen graphs name it. What else is constant in the graph,
    its anchors for one, is left out."""
    found: dict[str, NDArray[Any]] = {}
    for name, value in tensors.items():
        if match := HEADS.fullmatch(name):
            found |= _head(match, value if value.ndim == 1 else value.transpose(3, 2, 0, 1))
        elif match := V2.fullmatch(name):
            place, kernel, statistic = match.groups()
            layer = _v2_layer(place)
            if statistic:
                found[f"{layer}_bn.{STATISTICS[statistic]}"] = value
            else:
                order = (2, 3, 0, 1) if kernel == "depthwise_weights" else (3, 2, 0, 1)
                found[f"{layer}.weight"] = value.transpose(order)
    return found


def _v2_layer(place: str) -> str:
    """Our name of the layer that TensorFlow calls ``place``; its normalisation adds ``_bn``."""
    if match := V2_EXTRAS.fullmatch(place):
        part, number, depthwise = match.groups()
        return f"extras.{int(number) - 1}." + ("depthwise" if depthwise else f"{int(part) - 1}")
    if match := V2_BLOCK.fullmatch(place):
        number, layer = match.groups()
        return f"blocks.{number or 0}.{layer}"
    return place.lower()


def _folded(
    conv: str, norm: str, kind: str, value: NDArray[Any], depthwise: bool = False
) -> dict[str, NDArray[Any]]:
    """A kernel (output, height, width, input; depthwise 1, height, width, channel), or the bias
    that a normalisation was folded into."""
    if kind == "weights":
        return {f"{conv}.weight": value.transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))}
    return _only_shifting(norm, value, mobilenet_v1.EPSILON)


def _only_shifting(norm: str, shift: NDArray[Any], epsilon: float) -> dict[str, NDArray[Any]]:
    ones = np.ones(shift.shape, np.float32)
    return {
        f"{norm}.weight": ones,
        f"{norm}.bias": shift,
        f"{norm}.running_mean": 0 * ones,
        f"{norm}.running_var": ones - np.float32(epsilon),
    }


def resnet50_from_keras(tensors: Tensors) -> dict[str, NDArray[Any]]:
    """ResNet-50 v1 as Keras names it.

    Its convolutions' biases move into the normalisations, and its first kernel is turned round:
    Keras shows it blue, green, red.
    """
    found: dict[str, NDArray[Any]] = {}
    biases: dict[str, NDArray[Any]] = {}
    for name, value in tensors.items():
        layer, _, kind = name.rpartition("/")
        conv, norm = _keras_layer(layer)
        if layer.startswith("bn") and norm and kind in STATISTICS:
            found[f"{norm}.{STATISTICS[kind]}"] = value
        elif layer == "fc1000":
            found["fc.weight" if kind == "kernel" else "fc.bias"] = value.T
        elif conv and kind == "bias":
            biases[norm] = value
        elif conv and kind == "kernel":
            kernel = value.transpose(3, 2, 0, 1)
            found[f"{conv}.weight"] = kernel[:, ::-1] if conv == "conv1" else kernel
        else:
            found[name] = value
    for norm, bias in biases.items():
        if (mean := f"{norm}.running_mean") in found:
            found[mean] = found[mean] - bias
    for name in found:
        if name.endswith(".running_var"):
            found[name] = found[name] + np.float32(KERAS_EPSILON - resnet50_v1_5.EPSILON)
    return found


def _keras_layer(layer: str) -> tuple[str, str]:
    """The convolution that a Keras layer is, or belongs to, and its normalisation; or ""s."""
    if layer in ("conv1", "bn_conv1"):
        return "conv1", "bn1"
    if (match := KERAS.fullmatch(layer)) is None:
        return "", ""
    stage, block, branch = match.groups()
    conv, norm = KERAS_BRANCHES.get(branch, KERAS_SHORTCUT)
    place = f"layer{int(stage) - 1}.{ord(block) - ord('a')}"
    return f"{place}.{conv}", f"{place}.{norm}"
