"""Where a batch's time goes: each step by itself, with the bytes and operations it must do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sut.cupy import CupySut
from sut.cupy.arena import bytes_of
from sut.cupy.detector import Detections
from sut.cupy.executor import Executor, Resident
from sut.cupy.images import image_bytes
from sut.cupy.layers import Convolution, Dense

REPEATS = 20


@dataclass(frozen=True)
class Timed:
    """One step: its time, what it must read and write, and its multiplications and additions."""

    kind: str
    name: str
    shape: str
    time_ms: float
    least_bytes: int
    operations: int


def steps(resident: Resident, executor: Executor, batch: int, samples: Any) -> list[Timed]:
    """Every step of a batch, run alone a few times over on the executor's stream."""
    network, sizes = resident.network, bytes_of(resident.network)
    found = []
    with executor.stream:
        for step, arrays in zip(resident.steps, resident.arrays, strict=True):
            layer = step.layer
            sources = layer.sources if isinstance(layer, Detections) else (layer.source,)
            read = [sizes.get(name, image_bytes(network)) for name in sources]
            own = 0
            if isinstance(layer, Convolution):
                if layer.residual:
                    read.append(sizes[layer.residual])
                own = layer.weights[0].size
            elif isinstance(layer, Dense):
                own = layer.weights.shape[1]
            moved = sum(read) + sizes[layer.name]
            weights = sum(array.nbytes for array in arrays.values())
            time_ms = _timed(resident.cp, executor, step, arrays, batch, samples)
            form = f"{network.shapes[layer.source]} -> {network.shapes[layer.name]}"
            operations = 2 * batch * own * int(np.prod(network.shapes[layer.name]))
            found.append(
                Timed(step.kind, layer.name, form, time_ms, moved * batch + weights, operations)
            )
    return found


def show(sut: CupySut, batch: int, label: dict[str, Any], say: Callable[..., None]) -> None:
    """A line for each kind and shape, the longest first, and one for the whole batch; ``sut`` has
    its samples loaded.
    """
    executor = sut._executors[0]
    assert isinstance(executor, Executor)
    found = steps(executor._resident, executor, batch, sut._sources[0])
    kinds: dict[tuple[str, str], list[Timed]] = {}
    for x in found:
        kinds.setdefault((x.kind, x.shape), []).append(x)
    whole = sum(x.time_ms for x in found)
    for (kind, shape), group in sorted(kinds.items(), key=lambda k: -sum(x.time_ms for x in k[1])):
        ms = sum(x.time_ms for x in group)
        say(
            **label,
            step=kind,
            shape=shape.replace(" ", ""),
            count=len(group),
            ms=ms,
            share=ms / whole,
            tb_s=sum(x.least_bytes for x in group) / ms / 1e9,
            tflop_s=sum(x.operations for x in group) / ms / 1e9,
        )
    say(
        **{**label, "batch": batch},
        steps=len(found),
        ms=whole,
        gb=sum(x.least_bytes for x in found) / 1e9,
        tflop=sum(x.operations for x in found) / 1e12,
    )


def _timed(cp: Any, executor: Executor, step: Any, arrays: Any, batch: int, samples: Any) -> float:
    first, last = cp.cuda.Event(), cp.cuda.Event()
    executor.step(step, arrays, batch, samples)
    first.record(executor.stream)
    for _ in range(REPEATS):
        executor.step(step, arrays, batch, samples)
    last.record(executor.stream)
    last.synchronize()
    return float(cp.cuda.get_elapsed_time(first, last)) / REPEATS
