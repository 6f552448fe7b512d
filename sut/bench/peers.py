"""Every system that a GPU has for a network, offline through the load generator, one by one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sut.bench import profile
from sut.bench.networks import NETWORKS, Subject
from sut.bench.scenarios import offline, scenarios
from sut.bench.torch_graph import images_per_s
from sut.bench.torch_graph import network as torch_network

SYSTEMS: dict[str, dict[str, tuple[str, ...]]] = {
    "cupy": {
        "image_classification": ("fp16", "int8"),
        "object_detection": ("fp16", "int8"),
        "translation": ("fp16",),
    },
    "onnxruntime": {
        "image_classification": ("fp16", "fp32"),
        "object_detection": ("fp16", "fp32"),
        "translation": ("fp32",),
    },
    "tensorrt": {
        "image_classification": ("fp16", "int8"),
        "object_detection": ("fp16", "int8"),
    },
}
"""Precisions by system and task."""

ALIKE = 0.5
"""IoU from which two detections of a category are the same one."""


def cases(name: str) -> list[tuple[str, str]]:
    """Systems and precisions for a network of ``NETWORKS``."""
    task = NETWORKS[name].task
    return [(system, x) for system, tasks in SYSTEMS.items() for x in tasks.get(task, ())]


def make(system: str, given: Subject, batch: int, cache: Path) -> Any:
    """The system under test, two workers; RuntimeError for what is missing here."""
    file = (given.path, given.output)
    if system == "onnxruntime":
        from sut.onnxruntime_cuda import OnnxRuntimeCudaSut

        half = given.precision == "fp16"
        return OnnxRuntimeCudaSut(*file, workers=2, max_batch=batch, half=half)
    if system == "tensorrt":
        from sut.tensorrt import TensorRtSut

        quantised = given.precision == "int8"
        folder = cache / "tensorrt"
        return TensorRtSut(*file, engines=folder, streams=2, max_batch=batch, quantised=quantised)
    from sut.cupy import CupySut

    plans = cache / "cupy_plans.json"
    return CupySut(*file, precision=given.precision, max_batch=batch, streams=2, plans=plans)


def compare(
    name: str,
    subjects: Callable[[str], Subject],
    chosen: list[tuple[str, str]],
    asked: Any,
    say: Callable[..., None],
) -> None:
    """A line for each of ``chosen``; one that cannot run says why. ``subjects``: by precision."""
    batch = min(max(asked.batches), NETWORKS[name].batch)
    for system, precision in chosen:
        label = {"network": name, "system": f"{system} {precision}", "batch": batch}
        try:
            given = subjects(precision)
            sut = make(system, given, batch, asked.cache)
            if system == "cupy" and "scenarios" not in asked.without:
                scenarios(sut, name, given.samples, asked.seconds, label, say)
            else:
                rate = offline(sut, given.samples, asked.seconds)
                say(**label, scenario="offline", samples_per_s=rate)
            if system == "cupy" and "steps" not in asked.without:
                sut.load(given.samples)  # a run has unloaded them
                profile.show(sut, batch, label, say)
            if NETWORKS[name].task == "object_detection" and "check" not in asked.without:
                say(**label, alike=_checked(sut, given, subjects("fp32")))
            sut.unload()
        except Exception as error:  # every runtime raises types of its own
            say(**label, skipped=str(error).splitlines()[0])


def torch_heads(given: Subject, batch: int) -> float:
    """Images/s of PyTorch's fp16 graph of a detector as far as its heads, without what follows."""
    return images_per_s(torch_network(given.path), batch, given.samples.inputs[0].shape[-1])


def _checked(sut: Any, given: Subject, whole: Subject) -> float:
    """The share of ONNX Runtime's detections in two images that ``sut`` finds, too."""
    from sut.onnxruntime import OnnxRuntimeSut

    few = given.samples.indices[:2]
    plain = OnnxRuntimeSut(whole.path, whole.output, threads=8)
    lane = plain._lanes[0]
    answer = sut._infer if hasattr(sut, "_infer") else None
    sut.load(given.samples)  # a run has unloaded them
    found = answer(0, given.samples, few) if answer else sut._lanes[0].answer(given.samples, few)
    return alike(found, lane.answer(whole.samples, few))


def alike(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    """The share of ``wanted`` detections [n, most, 7] that ``found`` has too; 1 if there are none.

    Each of ``found`` counts once: the same image and category, and ``ALIKE`` of the union shared.
    """
    same = total = 0
    for ours, theirs in zip(found, wanted, strict=True):
        left = [row for row in ours if row[5] > 0]
        for row in theirs[theirs[:, 5] > 0]:
            total += 1
            for place, other in enumerate(left):
                if other[6] == row[6] and _shared(other[1:5], row[1:5]) > ALIKE:
                    same += 1
                    del left[place]
                    break
    return same / total if total else 1.0


def _shared(a: NDArray[Any], b: NDArray[Any]) -> float:
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    both = float(np.prod(np.maximum(sides, 0)))
    union = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - both
    return both / union if union > 0 else 0.0
