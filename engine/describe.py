"""What was measured: the model, data, system under test and machine, as the record holds them."""

from __future__ import annotations

import dataclasses

from engine.build import Benchmark
from engine.config import Model
from engine.plan import deviations
from engine.record import Record
from engine.system import describe


def changed_preprocessing(model: Model) -> list[str]:
    """What is done to images that the reference network of that kind does not expect, if any."""
    if model.kind == "onnx" or model.task == "translation":
        return []
    from engine.models.reference import REFERENCES

    wanted, own = REFERENCES[model.kind].preprocessing, model.preprocessing
    names = ("channels", "scale", "mean", "std")
    changed = [name for name in names if getattr(own, name) != getattr(wanted, name)]
    return [f"model.preprocessing.{name} is not the reference model's" for name in changed]


def put_parts(record: Record, parts: Benchmark) -> None:
    """Put the parts of the benchmark and what they deviate from into the record."""
    config, library = parts.config, parts.library
    record.data["system"] = describe()
    record.data["dataset"] = {
        "name": library.name,
        "synthetic": library.synthetic,
        "total_count": library.total_count,
        "performance_sample_count": library.performance_count,
        "fingerprint": library.fingerprint,
    }
    record.data["model"] = None if parts.artefact is None else dataclasses.asdict(parts.artefact)
    record.data["sut"] = {"name": parts.sut.name, "workers": parts.sut.workers} | {
        key: value
        for key in ("threads", "max_batch", "fixed_batch")
        if (value := getattr(parts.sut, key, None)) is not None
    }
    # No weights that this program makes or takes are known to be the suite's own.
    found = deviations(
        config, synthetic_data=library.synthetic, reference_weights=False, variant=parts.variant
    )
    found += changed_preprocessing(config.model)
    known = record.data["deviations"]
    known += [text for text in found if text not in known]
    record.data["conformant"] = not record.data["deviations"]
