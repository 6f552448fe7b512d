"""TensorRT engines: built from an ONNX file's content, and kept by everything they depend on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loadgen.files import atomically

SMALL = 8
"""Largest batch of the profile that is tuned for single samples."""


@dataclass(frozen=True)
class Profile:
    """Batch sizes that an engine's kernels are chosen for: from ``least`` to ``most``."""

    least: int
    best: int
    most: int


@dataclass(frozen=True)
class Recipe:
    """All that an engine depends on, besides the network's content.

    ``version``: TensorRT's; ``device``: the name of the GPU, whose kernels are timed.
    """

    profiles: tuple[Profile, ...]
    version: str
    device: str
    workspace_bytes: int = 4 << 30

    def key(self, content: bytes) -> str:
        """Name of the engine of the network ``content``, in hexadecimal digits."""
        told = json.dumps(asdict(self), sort_keys=True).encode()
        return hashlib.sha256(hashlib.sha256(content).digest() + told).hexdigest()

    @property
    def timings(self) -> str:
        """Name of the timings that all engines of a device and version share."""
        told = json.dumps([self.version, self.device]).encode()
        return hashlib.sha256(told).hexdigest()[:32]


def profiles(most: int) -> tuple[Profile, ...]:
    """One profile around single samples, and one around the largest batch."""
    small = Profile(1, 1, min(SMALL, most))
    return (small,) if most <= SMALL else (small, Profile(SMALL + 1, most, most))


def engine(trt: Any, content: bytes, recipe: Recipe, folder: Path) -> bytes:
    """The serialised engine, from ``folder`` or built and kept there.

    ``trt``: the module ``tensorrt``. Raises RuntimeError with TensorRT's reason if it builds none.
    """
    path = folder / f"{recipe.key(content)}.engine"
    if path.is_file():
        return path.read_bytes()
    timings = folder / f"{recipe.timings}.timings"
    known = timings.read_bytes() if timings.is_file() else b""
    made, learnt = build(trt, content, recipe, known)
    for kept, new in ((timings, learnt), (path, made)):
        with atomically(kept) as file:
            file.write(new)
    return made


def build(trt: Any, content: bytes, recipe: Recipe, timings: bytes) -> tuple[bytes, bytes]:
    """A serialised engine and the timings to start from next time.

    The network is strongly typed: it computes in the numbers that the file says.
    """
    log = logger(trt)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(content):
        reasons = [parser.get_error(i).desc() for i in range(parser.num_errors)]
        raise RuntimeError(f"TensorRT cannot read the network: {_first(reasons)}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, recipe.workspace_bytes)
    if not config.set_timing_cache(config.create_timing_cache(timings), False):
        config.set_timing_cache(config.create_timing_cache(b""), False)
    for profile in recipe.profiles:
        shapes = builder.create_optimization_profile()
        for number in range(network.num_inputs):
            given = network.get_input(number)
            rest = tuple(given.shape)[1:]
            sizes = (profile.least, profile.best, profile.most)
            shapes.set_shape(given.name, *((size, *rest) for size in sizes))
        config.add_optimization_profile(shapes)
    made = builder.build_serialized_network(network, config)
    if made is None:
        raise RuntimeError(f"TensorRT builds no engine of the network: {_first(log.errors)}")
    return bytes(made), bytes(config.get_timing_cache().serialize())


def deserialised(trt: Any, made: bytes) -> Any:
    """The engine on the device in use; RuntimeError with TensorRT's reason if it cannot be."""
    log = logger(trt)
    runtime = trt.Runtime(log)
    loaded = runtime.deserialize_cuda_engine(made)
    if loaded is None:
        raise RuntimeError(f"TensorRT cannot load the engine that it built: {_first(log.errors)}")
    return loaded


def logger(trt: Any) -> Any:
    """A logger of TensorRT's kind that keeps the messages of errors in ``errors``."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(message)

    return Log()


def _first(reasons: list[str]) -> str:
    return reasons[0].strip().splitlines()[0] if reasons else "it gives no reason"
