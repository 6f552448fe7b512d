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

KINDS = {"resnet50": ("resnet50_v1_5", 0), "mobilenet": ("mobilenet_v1", -1)}
OUTPUT = "classes"


@dataclass(frozen=True)
class Subject:
    """A network in one precision; ``labels``: int64, the class that is right for each sample."""

    name: str
    precision: str
    path: Path
    samples: LoadedSet
    labels: NDArray[np.int64]


def subject(name: str, precision: str, count: int, folder: Path) -> Subject:
    """Build it, or take it from ``folder``; fp16 computes from the fp32 file.

    int8 as a GPU gets it: calibrated by percentiles.
    """
    kind, offset = KINDS[name]
    preprocessing = REFERENCES[kind].preprocessing
    cache = Cache(folder)
    library = open_library(
        config.Dataset(
            kind="synthetic", name="synthetic", count=count, performance_sample_count=count
        ),
        "image_classification",
        preprocessing,
        cache,
        lambda message: None,
    )
    model = config.Model(kind=kind, name=name, label_offset=offset, preprocessing=preprocessing)
    stored = config.Precision(
        name="int8" if precision == "int8" else "fp32", calibration_method="percentile"
    )
    artefact = prepare(model, stored, cache, library.calibration)
    samples = library.load(np.arange(count))
    return Subject(
        name, precision, artefact.path, samples, np.asarray(library.truth)[:count] - offset
    )
