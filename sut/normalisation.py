"""Batch normalisation as a part of the layer before it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

EPSILON = 1e-5
"""ONNX's default."""


def folded(
    weights: NDArray[Any],
    bias: NDArray[Any] | float,
    parts: tuple[NDArray[Any], ...],
    epsilon: float = EPSILON,
) -> tuple[Floats, Floats]:
    """Weights [outputs, ...] and bias [outputs], float32, of a layer with the normalisation after.

    ``parts``: scale, shift, mean and variance [outputs], as ONNX orders them.
    """
    scale, shift, mean, variance = (np.asarray(part, np.float64) for part in parts)
    factor = scale / np.sqrt(variance + epsilon)
    wide = weights * factor.reshape(-1, *[1] * (weights.ndim - 1))
    return wide.astype(np.float32), ((bias - mean) * factor + shift).astype(np.float32)
