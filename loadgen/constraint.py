"""What is asked of a run, one thing at a time."""

from __future__ import annotations

from dataclasses import dataclass

from loadgen.settings import Settings
from loadgen.statistics import allowed_over, early_stopping_count


@dataclass(frozen=True)
class Constraint:
    """One thing asked of a run. ``hint``: what to change; empty when it passed."""

    name: str
    required: str
    measured: str
    passed: bool
    hint: str = ""


def within_bound(name: str, measured_ms: float | None, bound_ms: float) -> Constraint:
    """A percentile, None without any value, lies within its bound."""
    passed = measured_ms is not None and measured_ms <= bound_ms
    return Constraint(
        name,
        f"<= {bound_ms:g} ms",
        "no answer" if measured_ms is None else f"{measured_ms:.3f} ms",
        passed,
        "" if passed else "lower the rate, or make the system faster",
    )


def surely_within(name: str, count: int, over: int, settings: Settings) -> Constraint:
    """The early-stopping test: ``over`` of ``count`` values lie over a bound, which is few."""
    assert settings.confidence is not None
    most = allowed_over(count, settings.percentile, settings.confidence)
    needed = early_stopping_count(over, settings.percentile, settings.confidence)
    passed = over <= most
    hint = f"{over:,} over the bound need {needed:,} queries, there are {count:,}"
    required = f"<= {max(most, 0):,} over the bound"
    return Constraint(name, required, f"{over:,}", passed, "" if passed else hint)
