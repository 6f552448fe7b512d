"""The reference networks as files, and samples with labels: what every program is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine import config
from engine.cache import Cache
from engine.datasets import open_library
from engine.models import prepare
from engine.models.reference import REFERENCES
from loadgen import LoadedSet


@dataclass(frozen=True)
class Kind:
    """A reference network: ``kind`` and ``task`` as a config has them, the largest ``batch`` and
    the most ``samples`` that it is measured with, and how many it is calibrated with.
    """

    kind: str
    task: str
    output: str
    batch: int = 256
    samples: int = 512
    calibration: int = 64
    offset: int = 0


NETWORKS = {
    "resnet50": Kind("resnet50_v1_5", "image_classification", "classes"),
    "mobilenet": Kind("mobilenet_v1", "image_classification", "classes", offset=-1),
    "ssd_mobilenet": Kind("ssd_mobilenet_v1", "object_detection", "detections", 128, 256),
    "ssd_resnet34": Kind("ssd_resnet34", "object_detection", "detections", 8, 64, 8),
    "gnmt": Kind("gnmt", "translation", "translation", 64, 1024),
}


@dataclass(frozen=True)
class Subject:
    """A network in one precision, its answers in ``output``.

    ``labels``: int64, the class that is right for each sample of a classifier, else empty.
    """

    name: str
    precision: str
    path: Path
    output: str
    samples: LoadedSet
    labels: NDArray[np.int64]


def subject(name: str, precision: str, count: int, folder: Path) -> Subject:
    """Build it, or take it from ``folder``; fp16 computes from the fp32 file.

    int8 as a GPU gets it: calibrated by percentiles.
    """
    own = NETWORKS[name]
    count = min(count, own.samples)
    preprocessing = REFERENCES[own.kind].preprocessing
    cache = Cache(folder)
    library = open_library(
        config.Dataset(
            kind="synthetic", name="synthetic", count=count, performance_sample_count=count
        ),
        own.task,
        preprocessing,
        cache,
        lambda message: None,
    )
    model = config.Model(
        kind=own.kind,
        name=name,
        task=own.task,
        label_offset=own.offset,
        preprocessing=preprocessing,
    )
    stored = config.Precision(
        name="int8" if precision == "int8" else "fp32",
        calibration_count=own.calibration,
        calibration_method="percentile",
    )
    artefact = prepare(model, stored, cache, library.calibration)
    samples = library.load(np.arange(count))
    labels = np.empty(0, np.int64)
    if own.task == "image_classification":
        labels = np.asarray(library.truth)[:count] - own.offset
    return Subject(name, precision, artefact.path, artefact.output.name, samples, labels)
