"""The fused layers in NumPy, in floating point: what a reader must have understood."""

import numpy as np

from sut.cupy.detector import Detections
from sut.cupy.graph import Average, Convolution, Dense


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
