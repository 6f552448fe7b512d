"""Traffic before the timed part, so that caches, clocks and compilers are warm when it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from loadgen._traffic import generate
from loadgen.drive import Drive, drive
from loadgen.log import Ending
from loadgen.queries import queries_for
from loadgen.settings import Issue, Settings

# Added to a seed: a sequence of its own for each, and apart also in the lower half of the bits.
OTHER_SEED = 0x9E3779B97F4A7C15


def warmup_settings(settings: Settings) -> Settings:
    """Settings of the warm-up of a run: the same kind of traffic, for about ``warmup_ms``.

    Server queries arrive in the same way at the same rate, those of a trace as its beginning
    does; a closed loop runs back to back or at its interval; offline has one batch of the samples
    that ``target_qps`` serves in that time. Samples are drawn with seeds of its own, at random
    also where the timed part issues each equally often; no response is kept.
    """
    same = settings.issue is Issue.SAME
    trace_ns = settings.trace_ns
    if trace_ns is not None:
        trace_ns = tuple(at for at in trace_ns if at < settings.warmup_ms * 1e6) or trace_ns[:1]
    return replace(
        settings,
        warmup_ms=0.0,
        min_duration_ms=settings.warmup_ms,
        max_duration_ms=None,
        min_query_count=1,
        max_query_count=None,
        min_sample_count=1,
        extend=False,
        issue=Issue.SAME if same else Issue.RANDOM,
        trace_ns=trace_ns,
        accuracy_log_probability=0.0,
        accuracy_log_sampling_target=0,
        sample_index_seed=(settings.sample_index_seed + OTHER_SEED) % 2**64,
        schedule_seed=(settings.schedule_seed + OTHER_SEED) % 2**64,
    )


def warm_up(drives: Sequence[Drive]) -> list[Drive | None]:
    """Drive the systems whose settings ask for it with their warm-ups, from one instant on.

    Returns each one's warm-up, None without. A drive whose warm-up failed has ended like it.
    """
    if any(one.ending for one in drives):
        return [None for _ in drives]
    warmups = [_warmup(one) if one.queries.settings.warmup_ms else None for one in drives]
    if made := [warmup for warmup in warmups if warmup is not None]:
        drive(made)
    for one, warmup in zip(drives, warmups, strict=True):
        if warmup is not None:
            _carry_over(warmup, one)
    return warmups


def _warmup(one: Drive) -> Drive:
    settings = warmup_settings(one.queries.settings)
    return Drive(queries_for(settings, generate(settings, one.queries.traffic.loaded)), one.sut)


def _carry_over(warmup: Drive, one: Drive) -> None:
    ending = Ending.SUT_ERROR if warmup.queries.counts["failed"] else warmup.ending
    if ending not in (None, Ending.COMPLETE):
        one.end(ending, f"in the warm-up: {warmup.queries.first_error or ending}")
