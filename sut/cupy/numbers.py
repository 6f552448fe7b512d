"""The kinds of numbers that networks compute in on the device."""

from __future__ import annotations

NUMBERS = {"fp16": "HALF", "bf16": "BFLOAT16", "fp32": "FLOAT", "int8": "INT8", "fp8": "FP8_E4M3"}
ONE_BYTE = ("int8", "fp8")


def cudnn_type(name: str) -> str:
    """cuDNN's name of a kind of numbers."""
    return NUMBERS[name]
