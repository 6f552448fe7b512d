"""What a tree says in words of a result: measurements, user.conf, README, calibration, source."""

from __future__ import annotations

import json
from collections.abc import Iterator

import engine
from engine.record import Json

Files = dict[str, str]


def measurements(data: Json) -> Json:
    """The measurements document: what the network's weights and inputs were."""
    model, precision = data["model"], data["config"]["precision"]
    weights = model["weights"]
    retrained = {
        "fitted": "yes: the last layer was fitted to the synthetic data set",
        "seeded": "no: the weights are seeded and were never trained",
    }
    return {
        "input_data_types": _types(model["inputs"]),
        "retraining": retrained.get(weights, "no"),
        "starting_weights_filename": weights,
        "weight_data_types": precision["name"],
        "weight_transformations": transformed(data),
    }


def transformed(data: Json) -> str:
    """What was done to the weights, in one line."""
    precision = data["config"]["precision"]
    match precision["name"]:
        case "int8" | "int4" as name:
            samples = f"calibrated on {precision['calibration_count']} samples"
            how = data["model"].get("quantisation")
            done = f"quantised to {name} after training, "
            done += samples if _calibrated(data) else "without samples"
            return f"{done}; {how}" if how else done
        case "fp16" | "bf16" as name:
            return f"cast to {name}"
    return "none"


def _calibrated(data: Json) -> bool:
    """Whether samples gave the ranges of activations: a translator's are those of each batch."""
    config = data["config"]
    return config["precision"]["name"] == "int8" and config["model"]["task"] != "translation"


def _types(inputs: list[Json]) -> str:
    names = {"float32": "fp32", "float16": "fp16"}
    dtypes = [str(spec["dtype"]) for spec in inputs]
    return ", ".join(dict.fromkeys(names.get(dtype, dtype) for dtype in dtypes))


def user_conf(data: Json, model: str, scenario: str) -> str:
    """The settings of the performance run, in the official generator's keys and units."""
    settings = data["performance"]["settings"]
    values = {
        "min_duration": settings["min_duration_ms"],
        "min_query_count": settings["min_query_count"],
        "target_qps": settings["target_qps"],
        "target_latency": settings["bound_ms"],
    }
    said = {name: value for name, value in values.items() if value is not None}
    return "".join(f"{model}.{scenario}.{name} = {value:.12g}\n" for name, value in said.items())


def readme(data: Json, place: str) -> str:
    """How the result was made, and how to make it again."""
    return "\n".join(_readme(data, place)) + "\n"


def _readme(data: Json, place: str) -> Iterator[str]:
    metric, verdict = data["performance"]["metric"], data["verdict"]
    yield f"# {place}\n"
    yield f"Measured with tailbound {engine.__version__} on {data['created']}:\n"
    yield f"    {data['command']}\n"
    yield f"{metric['name']}: {metric['value']:.6g} {metric['unit']}, {verdict}"
    yield f"\nModel {data['model']['name']}, sha256 {data['model']['sha256']}"
    yield f"\nData {data['dataset']['name']}, {data['dataset']['total_count']} samples"
    if data["deviations"]:
        yield "\nNot a rule-conformant result:\n"
        yield from (f"* {text}" for text in data["deviations"])
    yield "\nNot an MLPerf result: it was neither submitted to MLCommons nor reviewed by them."


def calibration(data: Json) -> str:
    """How this network was calibrated."""
    name, precision = data["model"]["name"], data["config"]["precision"]
    if not _calibrated(data):
        return f"# {name}\n\nNot calibrated: it computes in {precision['name']}.\n"
    count = precision["calibration_count"]
    evaluated = data["model"].get("calibrated_on_evaluated", 0)
    verb = "is" if evaluated == 1 else "are"
    return (
        f"# {name}\n\nQuantised to 8-bit integers after training with ONNX Runtime's tools. The "
        f"ranges of activations are those of {count} samples of {data['dataset']['name']}, "
        f"{evaluated or 'none'} of which {verb} evaluated. The method is in "
        "engine/models/quantise.py of the source.\n"
    )


CALIBRATION = (
    "# Calibration\n\nHow the network of each result was calibrated is in calibration.md beside "
    "its record, in this folder's SYSTEM/MODEL/SCENARIO.\n"
)
SOURCE = (
    f"# Source\n\nThe results were made by tailbound {engine.__version__}, an installed program: "
    "put its source of that version here.\n"
)


def audit_files(audit: Json) -> Files:
    """What an audit found, in the files that the suite has for it."""
    verdict = {"PASS": "TEST PASS", "FAIL": "TEST FAIL"}.get(audit["outcome"], audit["outcome"])
    text = f"{audit['sentence']}\n{json.dumps(audit['figures'])}\n{verdict}\n"
    accuracy = {"verify_accuracy.txt": text} if audit["audit"] == "same_answers" else {}
    return {**accuracy, "verify_performance.txt": text}
