"""The kinds of numbers that networks compute in on the device."""

from __future__ import annotations

import ml_dtypes
import numpy as np

NUMBERS = {"fp16": "HALF", "bf16": "BFLOAT16", "fp32": "FLOAT", "int8": "INT8", "fp8": "FP8_E4M3"}
ONE_BYTE = ("int8", "fp8")
DTYPES = {
    "fp32": np.dtype(np.float32),
    "fp16": np.dtype(np.float16),
    "bf16": np.dtype(ml_dtypes.bfloat16),
    "int8": np.dtype(np.int8),
}
"""What tensors are stored in."""


def cudnn_type(name: str) -> str:
    """cuDNN's name of a kind of numbers."""
    return NUMBERS[name]
