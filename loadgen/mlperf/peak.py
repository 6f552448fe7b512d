"""The highest Server rate that passes, by repeated runs."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from loadgen.log import Ending
from loadgen.mlperf.phase import Outcome

logger = logging.getLogger("loadgen.mlperf")

# A system that no rate saturates must not keep the search going for ever.
MOST_STEPS = 40
# A machine that was too busy to keep the schedule says nothing about the system: try again.
TRIES = 3


def find_peak(
    run_at: Callable[[float], Outcome], first_qps: float, step: float, decimals: int
) -> list[Outcome]:
    """Probes from ``first_qps`` on: grow by ``1 + step`` until one fails, then bisect.

    A probe passes when its verdict is valid. The last one returned is the highest that
    passed, or the first where none did. Raises ValueError for a step of 0.
    """
    if step <= 0:
        raise ValueError(
            f"server_find_peak_qps_boundary_step_size={step:g}: it must be greater than 0"
        )
    probes: list[Outcome] = []

    def passes(qps: float) -> bool:
        for _ in range(TRIES):
            outcome = run_at(qps)
            missed = {row.name for row in outcome.verdict.missed}
            probes.append(outcome)
            logger.info("probe at %g qps: %s", qps, ", ".join(sorted(missed)) or "passed")
            if missed != {"punctual_generator"}:
                break
        return not missed

    def over() -> bool:
        return len(probes) > MOST_STEPS or probes[-1].log.ending is Ending.INTERRUPTED

    if not passes(first_qps):
        logger.error("server_target_qps=%g: the search must start at a rate that passes", first_qps)
        return probes
    low, high = first_qps, first_qps * (1 + step)
    while passes(high):
        if over():
            logger.warning("no rate up to %g qps fails; the search ends", high)
            return probes
        low, high = high, high * (1 + step)
    scale = 10.0**decimals
    while not over() and math.floor(low * scale) + 1 < math.floor(high * scale):
        middle = (low + high) / 2
        low, high = (middle, high) if passes(middle) else (low, middle)
    best = max(
        (probe for probe in probes if probe.verdict.valid),
        key=lambda probe: probe.settings.target_qps or 0.0,
    )
    return [*(probe for probe in probes if probe is not best), best]
