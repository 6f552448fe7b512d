"""Energy over a stretch of time, from counters that are read at its ends and once a second."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

PERIOD_S = 1.0
# The average of a shorter stretch says more of the counter's steps than of the power.
SHORTEST_PEAK_S = 0.5

Counts = NDArray[np.int64]


class Source(Protocol):
    """Counters of energy; ``parts`` are the names of what they count.

    ``wraps_uj``: int64[parts], where each starts again at 0; 0 for one that never does.
    """

    name: str
    parts: tuple[str, ...]
    wraps_uj: Counts

    def read_uj(self) -> Counts:
        """int64[parts]: microjoules since some moment. Raises OSError if they cannot be read."""


@dataclass(frozen=True)
class Energy:
    """What the devices took in a stretch of ``duration_s``; an estimate, and not wall power.

    ``parts_j``: by device; their sum is ``energy_j``. ``peak_power_w``: the highest average
    between two readings. ``longest_read_ms``: what the slowest of the ``readings`` took. All
    figures are None where a reading failed, for which ``error`` has the reason.
    """

    source: str
    duration_s: float | None = None
    energy_j: float | None = None
    average_power_w: float | None = None
    peak_power_w: float | None = None
    parts_j: dict[str, float] | None = None
    readings: int = 0
    longest_read_ms: float | None = None
    error: str | None = None


class PowerMeter:
    """Reads a source at the ends of a run and every ``period_s`` between (``loadgen.Meter``).

    A thread of its own reads in between, so that no counter starts again twice unnoticed; it
    sleeps otherwise, and ``stop`` ends it.
    """

    def __init__(self, source: Source, period_s: float = PERIOD_S) -> None:
        self.source = source
        self._period_s = period_s
        self._begin()

    def _begin(self) -> None:
        self._at_s: list[float] = []
        self._read_s: list[float] = []
        self._counts: list[Counts] = []
        self._error: str | None = None
        self._over = threading.Event()

    def start(self) -> None:
        """Read the counters and go on doing so."""
        self._begin()
        self._reader = threading.Thread(target=self._go_on, name="power", daemon=True)
        self._read()
        self._reader.start()

    def stop(self) -> Energy:
        """Read the counters a last time; the energy since ``start``."""
        self._over.set()
        self._reader.join()
        self._read()
        if self._error is not None:
            return Energy(self.source.name, error=self._error)
        return self._energy()

    def over(self, seconds: float) -> Energy:
        """The energy of the next ``seconds``, during which the caller does nothing."""
        self.start()
        time.sleep(seconds)
        return self.stop()

    def _go_on(self) -> None:
        while not self._over.wait(self._period_s):
            self._read()

    def _read(self) -> None:
        if self._error is not None:
            return
        began_s = time.monotonic()
        try:
            self._counts.append(self.source.read_uj())
        except Exception as error:  # a device that is lost must not take the run with it
            self._error = f"{type(error).__name__}: {error}"
            return
        self._at_s.append(began_s)
        self._read_s.append(time.monotonic() - began_s)

    def _energy(self) -> Energy:
        counts, at_s = np.stack(self._counts), np.array(self._at_s)
        steps_j = used_uj(counts, self.source.wraps_uj) / 1e6
        duration_s, energy_j = float(at_s[-1] - at_s[0]), float(steps_j.sum())
        return Energy(
            source=self.source.name,
            duration_s=duration_s,
            energy_j=energy_j,
            average_power_w=energy_j / duration_s if duration_s > 0 else None,
            peak_power_w=_peak_w(np.diff(at_s), steps_j.sum(axis=1)),
            parts_j=dict(zip(self.source.parts, steps_j.sum(axis=0).tolist(), strict=True)),
            readings=len(at_s),
            longest_read_ms=max(self._read_s) * 1e3,
        )


def used_uj(counts: Counts, wraps_uj: Counts) -> Counts:
    """int64[n - 1, parts]: microjoules between readings, int64[n, parts], of counters that wrap.

    Right as long as no counter starts again twice between two readings.
    """
    steps = np.diff(counts, axis=0)
    return np.where(steps < 0, steps + wraps_uj, steps)


def _peak_w(steps_s: NDArray[np.float64], steps_j: NDArray[np.float64]) -> float | None:
    long = steps_s >= SHORTEST_PEAK_S
    return float((steps_j[long] / steps_s[long]).max()) if long.any() else None
