"""Messages of the Open Inference Protocol, version 2 over HTTP, tensors as JSON or as bytes.

https://github.com/kserve/open-inference-protocol; bytes follow its binary tensor data extension:
little-endian, row-major, behind the JSON part, whose length a header gives.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

JSON_LENGTH = "Inference-Header-Content-Length"
BINARY = "binary_tensor_data"
"""How a server that takes tensors as bytes calls that among its extensions."""

DATATYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
}
"""NumPy's name of each of the protocol's types; BYTES and BF16 have none."""
NAMES = {dtype: name for name, dtype in DATATYPES.items()}


@dataclass(frozen=True)
class Tensor:
    """An input or output of a served model; ``shape`` with -1 for a dynamic dimension."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def dtype(self) -> str:
        """NumPy's name of its type, or the protocol's where NumPy has none."""
        return DATATYPES.get(self.datatype, self.datatype)

    def __str__(self) -> str:
        return f"{self.name} {self.dtype}{list(self.shape)}"


def tensors(metadata: Mapping[str, Any], which: str) -> list[Tensor]:
    """The ``inputs`` or ``outputs`` of a model's metadata; ValueError if they are malformed."""
    try:
        return [
            Tensor(str(each["name"]), str(each["datatype"]), tuple(map(int, each["shape"])))
            for each in metadata[which]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"its metadata has no usable {which} ({error!r})") from error


def request(
    inputs: Mapping[str, NDArray[np.generic]], output: str, binary: bool
) -> tuple[list[bytes], dict[str, str]]:
    """The parts of an inference request's body, and its headers; ``output`` alone is asked for."""
    described: list[dict[str, Any]] = []
    raw: list[bytes] = []
    for name, array in inputs.items():
        datatype, shape = NAMES[array.dtype.name], list(array.shape)
        tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
        if binary:
            raw.append(np.ascontiguousarray(array).tobytes())
            tensor["parameters"] = {"binary_data_size": len(raw[-1])}
        else:
            tensor["data"] = array.ravel().tolist()
        described.append(tensor)
    asked: dict[str, Any] = {"name": output}
    if binary:
        asked["parameters"] = {"binary_data": True}
    head = json.dumps({"inputs": described, "outputs": [asked]}).encode()
    if not binary:
        return [head], {"Content-Type": "application/json"}
    headers = {"Content-Type": "application/octet-stream", JSON_LENGTH: str(len(head))}
    return [head, *raw], headers


def response(body: bytes, json_length: str | None, output: str) -> NDArray[np.generic]:
    """The tensor ``output`` of an inference response; ValueError if it is not there whole.

    ``json_length``: the header ``JSON_LENGTH`` of the response, None where it has none.
    """
    length = len(body) if json_length is None else int(json_length)
    head = json.loads(body[:length])
    at = length
    for each in head["outputs"]:
        size = (each.get("parameters") or {}).get("binary_data_size")
        if each["name"] == output:
            return _array(each, None if size is None else body[at : at + int(size)])
        at += int(size or 0)
    raise ValueError(f"the answer has no output {output}")


def _array(described: Mapping[str, Any], raw: bytes | None) -> NDArray[np.generic]:
    if described["datatype"] not in DATATYPES:
        raise ValueError(f"an output of type {described['datatype']} is not read")
    dtype, shape = np.dtype(DATATYPES[described["datatype"]]), tuple(described["shape"])
    if raw is None:
        return np.array(described["data"], dtype).reshape(shape)
    if len(raw) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{len(raw)} bytes are not an output of {dtype}{list(shape)}")
    return np.frombuffer(raw, dtype.newbyteorder("<")).reshape(shape)


def matched(
    served: Sequence[Tensor], own: Sequence[tuple[str, str, tuple[int | None, ...]]]
) -> list[str]:
    """The served inputs' names, in the order of the network's own (name, dtype, shape).

    By name where all names are the same, else by position. Raises ValueError where their number,
    types or shapes differ.
    """
    by_name = {tensor.name: tensor for tensor in served}
    if len(served) == len(own) and all(name in by_name for name, _, _ in own):
        served = [by_name[name] for name, _, _ in own]
    fits = len(served) == len(own) and all(
        tensor.dtype == dtype and _alike(tensor.shape[1:], shape[1:])
        for tensor, (_, dtype, shape) in zip(served, own, strict=True)
    )
    if not fits:
        here = ", ".join(f"{name} {dtype}{[d or -1 for d in shape]}" for name, dtype, shape in own)
        raise ValueError(f"it takes {', '.join(map(str, served))}, but the samples are {here}")
    return [tensor.name for tensor in served]


def _alike(served: Sequence[int], own: Sequence[int | None]) -> bool:
    pairs = zip(served, own, strict=False)
    return len(served) == len(own) and all(a == b or a < 0 or b is None for a, b in pairs)
