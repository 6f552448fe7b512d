"""Where a reference network's weights come from: a seed, the fitted file, or the user's file."""

from __future__ import annotations

import hashlib
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from engine.cache import key_of, sha256_of
from engine.errors import ConfigError
from engine.models.graph import Network, Weights
from engine.paths import must_be_file

UNUSED_BIAS = -1000.0
"""Bias of the classes that the fitted head does not know: they are never the answer."""

FITTED_SEED = 0


Fitted = Weights
"""What makes a seeded network see synthetic data, by tensor name: batch-norm statistics, and the
last layers' weights. These may have fewer rows than the network's: the first classes' alone."""

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training programs keep a network's tensors beside other things."""

# What is raised for a file that is not what its name says, or is damaged.
UNREADABLE = (
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    struct.error,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


def seeded(network: Network, seed: int) -> dict[str, NDArray[np.float32]]:
    """Weights from ``seed`` alone: the same bits on every machine and NumPy release.

    Convolutions and the classifier are uniform with He's variance, 2 / fan-in. A chain of such
    layers forgets its input, so those in ``network.carried`` start near the identity.
    """
    return {name: _seeded(network, name, seed) for name in network.shapes}


def fitted(network: Network, label_offset: int, fit: Fitted) -> dict[str, NDArray[np.float32]]:
    """The network of seed 0 with what was fitted; the other classes are never the answer.

    A classifier's rows belong to labels, and its class index = label - ``label_offset``.
    """
    return planted(seeded(network, FITTED_SEED), fit, label_offset)


def planted(weights: Weights, fit: Fitted, label_offset: int = 0) -> dict[str, NDArray[np.float32]]:
    """Seeded ``weights`` with what was fitted in its place."""
    weights = {name: value.copy() if name in fit else value for name, value in weights.items()}
    for name, rows in fit.items():
        if name.startswith("fc."):
            weights[name] = _classifier_rows(rows, weights[name].shape, label_offset)
        elif name == "projection":
            weights[name][:] = rows[-1]  # the last row is that of all words that were not seen
            weights[name][: len(rows)] = rows
        else:
            weights[name][: len(rows)] = rows
    return weights


def _classifier_rows(
    rows: NDArray[np.float32], shape: tuple[int, ...], offset: int
) -> NDArray[np.float32]:
    planted = np.full(shape, UNUSED_BIAS if len(shape) == 1 else 0.0, np.float32)
    first, skipped = max(0, -offset), max(0, offset)
    planted[first : first + len(rows) - skipped] = rows[skipped:]
    return planted


def has_fitted(name: str) -> bool:
    """Whether the package ships a fitted file for network ``name``."""
    return _fitted_file(name).is_file()


def _fitted_file(name: str) -> Traversable:
    return resources.files("engine.models").joinpath("fitted", f"{name}.npz")


def read_fitted(name: str) -> Fitted | None:
    """The fitted file that the package ships for network ``name``, or None."""
    if not has_fitted(name):
        return None
    with _fitted_file(name).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {key: arrays[key].astype(np.float32) for key in arrays.files}


def fitted_versions(kind: str) -> list[str]:
    """The config keys of each version of a network that has a fitted file; "" for the reference
    network itself."""
    files = resources.files("engine.models").joinpath("fitted").iterdir()
    names = sorted(file.name.removesuffix(".npz") for file in files)
    versions = [name.removeprefix(kind).split("_") for name in names if name.startswith(kind)]
    return [" ".join(_key(part) for part in parts if part) for parts in versions]


def _key(part: str) -> str:
    return f"model.width={part[1:]}" if part.startswith("w") else f"model.size={part}"


def from_file(network: Network, path: Path) -> dict[str, NDArray[np.float32]]:
    """Weights of a file in one of ``READERS``' formats, matched by name.

    Raises ConfigError for a file that is missing or unreadable and for the first tensor that is
    missing, surplus, of another shape, not finite in single precision, or a variance below 0.
    """
    found = {
        name: value
        for name, value in _reader(path)(path).items()
        if not name.endswith(".num_batches_tracked") and name not in network.constants
    }
    values = {
        name: _checked(name, shape, found.get(name), path) for name, shape in network.shapes.items()
    }
    for name in network.variances:
        if (lowest := values[name].min()) < 0:
            raise ConfigError(
                f"model.weights={path}: tensor {name} holds variances, and one is {lowest:g}: none "
                "can be below 0."
            )
    if surplus := sorted(found.keys() - network.shapes.keys()):
        raise ConfigError(
            f"model.weights={path}: tensor {surplus[0]} is none of {network.name}'s "
            f"({len(surplus)} such in all). Remove it or name it as the network does."
        )
    return values


def _reader(path: Path) -> Callable[[Path], dict[str, NDArray[np.generic]]]:
    must_be_file("model.weights", path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ConfigError(
            f"model.weights={path}: it must be a .npz, .safetensors, .pt, .pth, .onnx, .tflite or "
            ".pb file, a TensorFlow checkpoint's .index, or a TensorFlow.js model's model.json."
        )
    return reader


def _checked(
    name: str, shape: tuple[int, ...], value: NDArray[np.generic] | None, path: Path
) -> NDArray[np.float32]:
    if value is None:
        raise ConfigError(f"model.weights={path}: tensor {name} {list(shape)} is missing.")
    if value.shape != shape:
        raise ConfigError(
            f"model.weights={path}: tensor {name} has the shape {list(value.shape)}; "
            f"the network needs {list(shape)}."
        )
    if np.issubdtype(value.dtype, np.floating) or value.dtype == ml_dtypes.bfloat16:
        with np.errstate(over="ignore"):
            single = np.ascontiguousarray(value, np.float32)
        if np.isfinite(single).all():
            return single
    raise ConfigError(
        f"model.weights={path}: tensor {name} ({value.dtype}) must hold floating-point numbers "
        "of 16 to 64 bits that are finite in single precision."
    )


def _npz(path: Path) -> dict[str, NDArray[np.generic]]:
    with _read_as(path, ".npz"):
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no archive of arrays as numpy.savez writes them.")
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy"): _npy(archive, name) for name in archive.namelist()}


def _npy(archive: zipfile.ZipFile, name: str) -> NDArray[np.generic]:
    with archive.open(name) as file:
        try:
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
        except ValueError as error:
            raise ValueError(f"its part {name} is damaged or no array of numbers.") from error


def _safetensors(path: Path) -> dict[str, NDArray[np.generic]]:
    from safetensors import SafetensorError, safe_open

    try:
        with _read_as(path, ".safetensors"), safe_open(path, framework="numpy") as file:
            return {name: _tensor(file, name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ConfigError(f"model.weights={path} cannot be read as .safetensors: {error}") from (
            error
        )


def _tensor(file: Any, name: str) -> NDArray[np.generic]:
    try:
        found: NDArray[np.generic] = file.get_tensor(name)
    except (AttributeError, TypeError) as error:
        kind = file.get_slice(name).get_dtype()
        raise ValueError(f"tensor {name} is {kind}, which has no like in NumPy.") from error
    return found


def _state_dict(path: Path) -> dict[str, NDArray[np.generic]]:
    """PyTorch's tensors by name, nothing but tensors: what else a pickle can hold is refused."""
    try:
        import torch
    except ImportError as error:
        raise ConfigError(
            f"model.weights={path}: reading a PyTorch file needs PyTorch: pip install torch, or "
            "save the state dict with safetensors.torch.save_file as .safetensors."
        ) from error
    with _read_as(path, "a PyTorch state dict"):
        try:
            found = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise ValueError(
                f"it is damaged or holds more than tensors ({str(error).splitlines()[0]})"
            ) from error
        for key in WRAPPERS:
            found = found.get(key, found)
        return {
            name.removeprefix("module."): value.to(torch.float32).numpy()
            if value.is_floating_point()
            else value.numpy()
            for name, value in found.items()
        }


def _tflite(path: Path) -> dict[str, NDArray[np.generic]]:
    from engine.models import foreign, tflite

    with _read_as(path, "TensorFlow Lite"):
        tensors = tflite.read(path)
        detector = any(name.startswith("BoxPredictor") for name in tensors)
        return (
            foreign.ssd_mobilenet_from_tensorflow(tensors)
            if detector
            else foreign.mobilenet_from_slim(tensors)
        )


def _graph(path: Path) -> dict[str, NDArray[np.generic]]:
    from engine.models import foreign, tensorflow

    with _read_as(path, "a TensorFlow graph"):
        return foreign.ssd_mobilenet_v2_from_tensorflow(tensorflow.read_graph(path))


def _checkpoint(path: Path) -> dict[str, NDArray[np.generic]]:
    from engine.models import foreign_gnmt, tensorflow_checkpoint

    with _read_as(path, "a TensorFlow checkpoint"):
        return foreign_gnmt.gnmt_from_tensorflow(tensorflow_checkpoint.read(path))


def _tfjs(path: Path) -> dict[str, NDArray[np.generic]]:
    from engine.models import foreign, tfjs

    with _read_as(path, "a TensorFlow.js model"):
        return foreign.resnet50_from_keras(tfjs.read(path))


@contextmanager
def _read_as(path: Path, kind: str) -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        raise ConfigError(f"model.weights={path} cannot be read as {kind}: {error}") from error


def _onnx(path: Path) -> dict[str, NDArray[np.generic]]:
    from onnx import numpy_helper

    from engine.models.own import load

    initialisers = load(path, "model.weights").graph.initializer
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in initialisers}


READERS: dict[str, Callable[[Path], dict[str, NDArray[np.generic]]]] = {
    ".npz": _npz,
    ".safetensors": _safetensors,
    ".pt": _state_dict,
    ".pth": _state_dict,
    ".onnx": _onnx,
    ".tflite": _tflite,
    ".json": _tfjs,
    ".pb": _graph,
    ".index": _checkpoint,
}
"""How the tensors of a file are read, by its ending."""


def content_sha256(path: Path) -> str:
    """Hex sha256 of a weights file, followed by the files that it names.

    Raises ConfigError for a file that is missing, of no known format, or names no readable files.
    """
    from engine.models import tensorflow_checkpoint, tfjs

    _reader(path)
    naming = {".json": tfjs.shards, ".index": tensorflow_checkpoint.shards}
    if (shards := naming.get(path.suffix.lower())) is None:
        return sha256_of(path)
    with _read_as(path, "an index of weights"):
        return key_of(*(sha256_of(file) for file in (path, *shards(path))))


def _seeded(network: Network, name: str, seed: int) -> NDArray[np.float32]:
    shape = network.shapes[name]
    if name in network.filled:
        return np.full(shape, network.filled[name], np.float32)
    noise = _uniform(name, shape, seed)
    if name in network.drawn:
        factor, shift = network.drawn[name]
        noise *= factor
        noise += shift
        return noise
    share, stride = network.carried.get(name, (1.0, 1))
    if shape[1] == 1 and name in network.carried:
        return _kernel(shape[-1], stride) + noise * np.float32(share)
    weight = noise * np.sqrt(np.float32(6) / np.float32(np.prod(shape[1:])))
    if name in network.carried:
        kept = min(shape[:2])
        weight[:kept] *= np.float32(share)
        weight[range(kept), range(kept)] += np.float32(1)
    return weight


def _kernel(width: int, stride: int) -> NDArray[np.float32]:
    """The kernel that leaves a plane as it is, smoothed before a stride: float32 [width, width]."""
    line = np.zeros(width, np.float32)
    line[width // 2] = 1
    if stride > 1:
        line = np.convolve(line, np.array([0.25, 0.5, 0.25], np.float32), "same")
    return np.outer(line, line)


def _uniform(name: str, shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Uniform in [-1, 1) on a grid of 2^-23, so that every operation here is exact."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    key = np.frombuffer(digest[:16], "<u8").astype(np.uint64)
    count = int(np.prod(shape))
    words = np.random.Philox(key=key).random_raw(-(-count // 2))
    halves = np.asarray(words, "<u8").view("<u4")[:count]
    return ((halves >> 8).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)).reshape(shape)


def ship(fit: Fitted, path: Path) -> None:
    """Write a fitted file: vectors in single, the last layers' rows in half precision."""
    arrays: dict[str, Any] = {
        name: value if value.ndim == 1 else value.astype(np.float16) for name, value in fit.items()
    }
    np.savez_compressed(path, **arrays)
