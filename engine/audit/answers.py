"""Whether a performance run gives the answers of the accuracy run (paper, IV-D; TEST01)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from engine.audit.finding import Finding, Outcome
from engine.audit.ratio import CONFIDENCE
from engine.audit.rig import Rig
from engine.scoring import answering
from evaluators.coco_map import ROW
from loadgen import RunLog

AUDIT = "same_answers"
ALLOWED_SHARE = 0.01
"""Of answers that differ: batches of other sizes round differently, now and then decisively."""
TOLERANCE = 0.01
"""Relative and absolute, of each number of a detected object."""
WANTED = 4096
"""Answers to compare at most, as in the official test, ..."""
LEAST = 500
"""... and at least: fewer that are all alike would not tell."""


def answers(rig: Rig) -> tuple[Finding, RunLog]:
    """Keep answers of a performance run and compare them with those of an accuracy run."""
    accuracy = _answered(rig, rig.accuracy_run())
    plain = rig.full_settings() if rig.is_submitted else rig.settings()
    seconds = plain.min_duration_ms / 1000
    share = min(1.0, WANTED / max(1.0, rig.rate_qps * seconds))
    settings = replace(
        plain,
        min_query_count=max(plain.min_query_count, math.ceil(LEAST / plain.samples_per_query)),
        min_sample_count=max(plain.min_sample_count, LEAST),
        accuracy_log_probability=share,
        accuracy_log_seed=rig.seed(6) % 2**32,
    )
    performance = _answered(rig, rig.run(settings, "audit: answers while timed"))
    longer = "scenario.min_duration_s" if rig.is_submitted else "audit.seconds"
    task = rig.parts.config.model.task
    return same_answers(performance, accuracy, task, longer), performance


def _answered(rig: Rig, log: RunLog) -> RunLog:
    answer = answering(rig.parts.library, rig.parts.config.model)
    answers = [None if each is None else answer(each) for each in log.responses or []]
    return replace(log, responses=answers)


def same_answers(
    performance: RunLog, accuracy: RunLog, task: str, longer: str = "audit.seconds"
) -> Finding:
    """Compare the kept responses of a performance run with those of an accuracy run.

    ``longer``: the key that makes the performance run longer, for what is said of too few answers.

    Fails when, with 99 % confidence, more than ``ALLOWED_SHARE`` of the answers differ; passes
    when with 99 % confidence no more do (Clopper-Pearson).
    """
    truth = dict(zip(accuracy.sample_index.tolist(), accuracy.responses or [], strict=False))
    kept = [
        (truth.get(index), response)
        for index, response in zip(
            performance.sample_index.tolist(), performance.responses or [], strict=False
        )
        if response is not None
    ]
    if not kept:
        return Finding(AUDIT, Outcome.NOT_APPLICABLE, "The performance run kept no response.")
    differing = sum(known is None or not alike(known, seen, task) for known, seen in kept)
    interval = binomtest(differing, len(kept)).proportion_ci(CONFIDENCE, method="exact")
    told = (
        f"{differing:,} of {len(kept):,} answers of a performance run differ from the accuracy "
        f"run's ({interval.low:.2%} to {interval.high:.2%}; at most {ALLOWED_SHARE:.0%} may)"
    )
    figures = {"differing": differing, "answers": len(kept)}
    if interval.low > ALLOWED_SHARE:
        return Finding(AUDIT, Outcome.FAIL, f"{told}.", figures)
    if interval.high <= ALLOWED_SHARE:
        return Finding(AUDIT, Outcome.PASS, f"{told}.", figures)
    if len(kept) < WANTED / 2:
        told += f"; too few to tell: set {longer} higher."
    else:
        told += "; too close to the limit to tell: set sut.max_batch=1, or a finer precision."
    return Finding(AUDIT, Outcome.UNDECIDED, told, figures)


def alike(one: NDArray[np.generic], other: NDArray[np.generic], task: str) -> bool:
    """Whether two answers to a sample say the same.

    Classes must be equal; of two lists of objects each must hold 99 % of the other's, in any
    order, every number within ``TOLERANCE``; sentences must be equal.
    """
    if task == "object_detection":
        objects = one.reshape(-1, ROW), other.reshape(-1, ROW)
        return _found_in(*objects) and _found_in(*reversed(objects))
    if task == "image_classification" and one.size > 1:
        return bool(np.argmax(one) == np.argmax(other))
    return bool(np.array_equal(one, other))


def _found_in(some: NDArray[np.generic], all_of: NDArray[np.generic]) -> bool:
    if not len(some):
        return True
    near = [np.isclose(all_of, row, TOLERANCE, TOLERANCE).all(axis=1).any() for row in some]
    return bool(np.mean(near) >= 1 - ALLOWED_SHARE)
