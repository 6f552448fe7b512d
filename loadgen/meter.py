"""What may be measured beside a run, over its timed part: the energy it takes, for instance."""

from __future__ import annotations

from typing import Protocol


class Meter(Protocol):
    """Is started and stopped with every run that it is given to; warm-ups are left out."""

    def start(self) -> None:
        """Called once all workers wait, right before the clock starts."""

    def stop(self) -> object:
        """Called as soon as the run has ended; ``RunLog.metered`` is what it returns."""
