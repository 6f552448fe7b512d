"""A network's ONNX file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sut.cupy.graph import Network, network_of
from sut.cupy.translation import Translation, translation


def read(path: Path, output: str, half: str = "fp16") -> Network | Translation:
    """The network in the ONNX file ``path`` whose output ``output`` is the answer: int64 [n],
    float32 [n, most, 7] of a detector, or int32 [n, steps] of a translation. ``half``: fp16 or
    bf16, for all but a translation.

    Raises RuntimeError, with its name, for the first node that the device has no layer for.
    """
    import onnx

    try:
        graph = onnx.load(str(path)).graph
    except Exception as error:  # protobuf and onnx raise types of their own
        raise RuntimeError(f"{path} cannot be read as ONNX: {error}") from error
    return translation(graph, output) or replace(network_of(graph, output), half=half)
