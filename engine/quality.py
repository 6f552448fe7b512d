"""The accuracy part of a benchmark: every sample once, scored against the ground truth."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.build import Benchmark, Say, service_time_s
from engine.cache import key_of
from engine.config import Precision
from engine.performance import Follow, Speed
from engine.plan import accuracy_settings, published_target, quality_ratio
from engine.record import Record
from engine.scoring import answering, score
from engine.system import usable_cores
from evaluators.quality import Quality, against
from loadgen import Ending, RunLog, SampleLibrary, Scenario, judge, run
from sut import onnxruntime

AT_ONCE = 32
"""How many samples the plain loop has in memory."""

WHOLE = {"ssd_mobilenet": 5000}
"""Images of the data, COCO's val2017, for which the rules name a quality in place of a share."""

Responses = list[NDArray[np.generic] | None]
Answer = Callable[[NDArray[np.generic]], NDArray[np.generic]]


def assess(
    benchmark: Benchmark, record: Record, speed: Speed | None, follow: Follow, say: Say
) -> tuple[bool, Ending]:
    """Run the accuracy part and put it into ``record``; whether the target is met.

    The samples come in the scenario's own traffic; server at a rate the system is known to
    serve.
    """
    log = run(
        accuracy_settings(benchmark.config, _rate(benchmark, speed)),
        benchmark.library,
        benchmark.sut,
        follow("accuracy", None),
    )
    library, model = benchmark.library, benchmark.config.model
    verdict, answer = judge(log), answering(library, model)
    answers = [None if each is None else answer(each) for each in log.responses or []]
    log = dataclasses.replace(log, responses=answers)
    record.logs("accuracy", log, verdict)
    if not verdict.valid:
        missed = "; ".join(f"{row.name}: {row.measured}" for row in verdict.missed)
        record.data["message"] = f"The accuracy run did not end well: {missed}. {log.error or ''}"
        return False, Ending.SUT_ERROR if log.ending is Ending.COMPLETE else log.ending
    quality = score(in_order(log, library.total_count), library.truth, model)
    reference = fp32_reference(benchmark, say)
    published = None if library.synthetic else published_target(benchmark.config)
    whole = library.total_count >= WHOLE.get(model.name, 0) and not benchmark.variant
    asked = published if whole else None
    target = against(quality, reference.value, quality_ratio(benchmark.config), asked)
    record.data["accuracy"] = {
        "quality": dataclasses.asdict(quality),
        "fp32": dataclasses.asdict(reference),
        "target": dataclasses.asdict(target),
        "synthetic": library.synthetic,
        "published_target": published,
    }
    record.save()
    return target.passed, log.ending


def _rate(benchmark: Benchmark, speed: Speed | None) -> float | None:
    """A rate for the accuracy run: server needs one, offline only a number."""
    config = benchmark.config
    if Scenario(config.scenario.name).closed_loop:
        return None
    if config.scenario.target_qps is not None:
        return config.scenario.target_qps
    if speed is not None and speed.rate_qps is not None:
        return speed.rate_qps
    return 0.5 / service_time_s(benchmark, benchmark.library.load(np.arange(1)), 1)


def in_order(log: RunLog, total: int) -> Responses:
    """The responses by sample index; None for a sample that was not answered.

    Multi-stream pads its last query with samples that come a second time: the first counts.
    """
    responses: Responses = [None] * total
    for index, response in zip(log.sample_index, log.responses or [], strict=True):
        if responses[index] is None:
            responses[index] = response
    return responses


def fp32_reference(benchmark: Benchmark, say: Say) -> Quality:
    """Quality of the FP32 network on the same samples, by a plain loop beside the load generator.

    Kept in the cache: the network and the samples decide it.
    """
    from engine.models import prepare

    model = benchmark.config.model
    library, cache = benchmark.library, benchmark.cache
    artefact = prepare(model, Precision(name="fp32"), cache, library.calibration)

    def build(path: Path) -> None:
        say(f"measuring FP32's quality on {library.total_count:,} samples")
        answer = answering(library, model)
        responses = plain_loop(artefact.path, artefact.output.name, library, answer)
        quality = score(responses, library.truth, model)
        path.write_text(json.dumps(dataclasses.asdict(quality)))

    key = key_of(
        "fp32 quality", model.task, artefact.sha256, artefact.output.name, library.fingerprint
    )
    return Quality(**json.loads(cache.file(key, ".json", build).path.read_text()))


def plain_loop(model: Path, output: str, library: SampleLibrary, answer: Answer) -> Responses:
    """Answers of ONNX Runtime on the processor to one sample after the other."""
    session = onnxruntime.session(model, usable_cores(), "all", ["CPUExecutionProvider"])
    names = [spec.name for spec in session.get_inputs()]
    responses: Responses = []
    for first in range(0, library.total_count, AT_ONCE):
        indices = np.arange(first, min(first + AT_ONCE, library.total_count))
        for rows in zip(*library.load(indices).inputs, strict=True):
            feed = {name: row[None] for name, row in zip(names, rows, strict=True)}
            responses += [answer(session.run([output], feed)[0][0])]
    return responses
