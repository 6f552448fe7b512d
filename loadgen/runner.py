"""Runs: load samples, drive the system under test, and keep what was measured."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loadgen._traffic import generate, loaded_sets
from loadgen.drive import Drive, drive
from loadgen.log import Ending, RunLog, joined
from loadgen.meter import Meter
from loadgen.progress import Watch
from loadgen.queries import queries_for
from loadgen.samples import SampleLibrary
from loadgen.settings import Mode, Settings
from loadgen.sut import SimulatedSystem, SystemUnderTest
from loadgen.takes import Takes
from loadgen.warmup import warm_up


@dataclass(frozen=True)
class Job:
    """What one system is to be driven with: ``indices``, int64[m], is the set to load."""

    settings: Settings
    indices: NDArray[np.int64]
    library: SampleLibrary
    sut: SystemUnderTest | SimulatedSystem
    watch: Watch | None = None
    meter: Meter | None = None


def run(
    settings: Settings,
    library: SampleLibrary,
    sut: SystemUnderTest | SimulatedSystem,
    watch: Watch | None = None,
    meter: Meter | None = None,
) -> RunLog:
    """Drive ``sut`` with the traffic that ``settings`` describe and record what it did.

    Blocks until every query is answered, the system fails or falls silent, ``watch`` returns
    True, or Ctrl-C; each of them ends in a log, which says so. ``meter`` measures beside the
    timed part of a performance run of a real system. Raises only what ``library`` raises before
    the start.
    """
    logs = []
    for indices in loaded_sets(settings, library.total_count, library.performance_count):
        (log,) = run_jobs([Job(settings, indices, library, sut, watch, meter)])
        logs.append(log)
        if settings.mode is Mode.PERFORMANCE or log.ending is not Ending.COMPLETE:
            break
    return joined(logs)


def run_jobs(jobs: Sequence[Job]) -> list[RunLog]:
    """Load for all the jobs, drive them from one instant on, unload; a log for each."""
    drives = [
        Drive(
            queries_for(job.settings, generate(job.settings, job.indices)),
            job.sut,
            job.watch,
            meter=job.meter,
        )
        for job in jobs
    ]
    with contextlib.ExitStack() as loaded:
        for job, one in zip(jobs, drives, strict=True):
            _load(job, one, loaded)
            if one.ending:
                break
        warmups = warm_up(drives)
        drive(drives)
        return [_log(one, warmup) for one, warmup in zip(drives, warmups, strict=True)]


def _load(job: Job, one: Drive, loaded: contextlib.ExitStack) -> None:
    unique = np.unique(job.indices)
    samples = job.library.load(unique)
    loaded.callback(job.library.unload, unique)
    loaded.callback(job.sut.unload)
    try:
        job.sut.load(samples)
    except Exception:
        one.end(Ending.SUT_ERROR, traceback.format_exc())


def _log(one: Drive, warmup: Drive | None = None) -> RunLog:
    assert one.ending is not None
    queries, counts = one.queries, one.queries.counts
    scheduled_ns, takes, answers, sample_index = queries.arrays
    first_token_ns, token_count, first_tokens = queries.token_arrays
    return RunLog(
        settings=queries.settings,
        ending=one.ending,
        started_at=one.started_at,
        scheduled_ns=scheduled_ns,
        first_sample=np.arange(len(scheduled_ns)) * queries.traffic.samples_per_query,
        takes=Takes(takes, queries.apart_takes),
        answers=answers,
        sample_index=sample_index,
        responses=queries.responses,
        first_token_ns=first_token_ns,
        token_count=token_count,
        first_tokens=first_tokens,
        repeated=counts["repeated"],
        unknown=counts["unknown"],
        after_end=counts["after_end"],
        error=queries.first_error,
        warmup=None if warmup is None else _log(warmup),
        metered=one.metered,
    )
