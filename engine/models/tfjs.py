"""Reads the weights of a TensorFlow.js model: ``model.json`` and the shards beside it."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPES: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2")}


def read(path: Path) -> dict[str, NDArray[np.generic]]:
    """Weights by name, as they lie in the shards (kernels: height, width, input, output).

    Raises ValueError for a manifest that does not fit its shards, quantised weights, or shards
    outside the folder; KeyError or TypeError for a file of another form.
    """
    found = {}
    for group in json.loads(path.read_bytes())["weightsManifest"]:
        content = b"".join(_shard(path, name).read_bytes() for name in group["paths"])
        at = 0
        for entry in group["weights"]:
            name, shape = entry["name"], entry["shape"]
            if entry["dtype"] not in DTYPES or "quantization" in entry:
                raise ValueError(f"tensor {name} is not in single or half precision")
            dtype = DTYPES[entry["dtype"]]
            size = prod(shape)
            found[name] = np.frombuffer(content, dtype, size, at).reshape(shape)
            at += size * dtype.itemsize
        if at != len(content):
            raise ValueError(f"the shards have {len(content)} bytes, model.json speaks of {at}")
    return found


def shards(path: Path) -> list[Path]:
    """The files beside a ``model.json`` that hold its tensors; errors as in ``read``."""
    groups = json.loads(path.read_bytes())["weightsManifest"]
    return [_shard(path, name) for group in groups for name in group["paths"]]


def _shard(path: Path, name: str) -> Path:
    if name != Path(name).name:
        raise ValueError(f"the shard {name!r} lies outside its folder")
    return path.with_name(name)
