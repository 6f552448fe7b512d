"""The fused layers in NumPy, in floating point: what a reader must have understood."""

from dataclasses import replace

import numpy as np

from sut.cupy.detector import Detections
from sut.cupy.layers import Average, Convolution, Dense, Halved
from sut.cupy.steps import number_of, steps_of, stored_as


def outputs(network, images):
    """Every tensor of ``network`` for ``images``, by name, all but detections."""
    made = {network.input: images}
    for layer in network.layers:
        x = made[layer.source]
        match layer:
            case Detections():
                pass  # made by kernels
            case Convolution():
                y = convolution(x, layer) + layer.bias[:, None, None]
                if layer.residual:
                    y = y + made[layer.residual]
                made[layer.name] = np.clip(y, layer.low, layer.high)
            case Halved():
                made[layer.name] = x
            case Average():
                made[layer.name] = x.mean((2, 3), keepdims=True)
            case Dense():
                made[layer.name] = x[:, :, 0, 0] @ layer.weights.T + layer.bias
            case _:
                made[layer.name] = windows(x, layer.kernel, layer, -np.inf).max((-2, -1))
    return made


def windows(x, kernel, layer, fill):
    """Views [n, c, height, width, kernel, kernel] of ``x``, padded with ``fill``."""
    top, left, bottom, right = layer.pads
    around = ((0, 0), (0, 0), (top, bottom), (left, right))
    padded = np.pad(x, around, constant_values=fill)
    views = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), (2, 3))
    return views[:, :, :: layer.stride, :: layer.stride]


def convolution(x, layer):
    """Without bias."""
    views = windows(x, layer.weights.shape[2], layer, 0)
    if layer.group > 1:
        return np.einsum("nchwij,cij->nchw", views, layer.weights[:, 0], optimize=True)
    return np.einsum("nchwij,ocij->nohw", views, layer.weights, optimize=True)


def accumulated(step, numbers):
    """What the device computes from stored ``numbers``, before it clips and rounds."""
    layer, arrays = step.layer, step.arrays
    column = (slice(None), None, None)
    if step.kind == "depthwise":  # beyond the edges lies what stands for 0
        weights = arrays["filters"].transpose(2, 0, 1)[:, None]
        views = windows(numbers(layer.source), 3, layer, step.source.zero)
        sums = np.einsum("nchwij,cij->nchw", views, weights[:, 0], optimize=True)
        return sums + arrays["bias"][column]
    weights = arrays["w"].transpose(0, 3, 1, 2).astype(np.float32)  # cuDNN: 0 beyond the edges
    sums = convolution(numbers(layer.source), replace(layer, weights=weights))
    y = sums * arrays.get("scale", np.ones(1))[column] + arrays["bias"][column]
    if layer.residual:
        y += numbers(layer.residual) * arrays["residual_scale"][column]
    return y


def stored_outputs(network, images):
    """Every tensor of a quantised network as the device stores it, by name, all but detections."""
    made = {}
    for step in steps_of(network):
        layer = step.layer
        match step.kind:
            case "detections":
                return made
            case "stem":
                y = convolution(images, layer) * stored_as(network, layer.name).factor
                y += step.arrays["bias"][:, None, None]
            case "max_pool":
                y = windows(made[layer.source], layer.kernel, layer, -np.inf).max((-2, -1))
            case "halved":
                y = made[layer.source] - step.source.zero
                y = y * (stored_as(network, layer.name).factor / step.source.factor)
            case _:
                y = accumulated(step, made.__getitem__)[:, : len(layer.weights)]
        if number_of(network, layer.name) == "int8":
            y = np.rint(np.clip(y, step.low, step.high))
        made[layer.name] = y.astype(np.float32)
    return made
