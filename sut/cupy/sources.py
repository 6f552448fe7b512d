"""The text of the kernels."""

from __future__ import annotations

from importlib import resources

TYPES = {"fp16": "__half", "bf16": "__nv_bfloat16", "int8": "int8"}
"""The kernels' names of the kinds of numbers."""


def source(*names: str) -> str:
    """The files of these names, one behind the other."""
    folder = resources.files("sut.cupy")
    return "\n".join(folder.joinpath(f"{name}.cu").read_text() for name in names)
