"""A data set that is counted and not read, for systems that look at no sample."""

from __future__ import annotations

from dataclasses import dataclass

from loadgen.samples import NoSamples


@dataclass(frozen=True)
class UnreadLibrary(NoSamples):
    """The numbers of a data set. Nothing is loaded, and no quality can be measured on it."""

    synthetic: bool = True

    @property
    def fingerprint(self) -> str:
        """What identifies it: its numbers are all there is."""
        return f"{self.name}-{self.total_count}-{self.performance_count}"
