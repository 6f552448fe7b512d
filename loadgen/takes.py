"""Which samples each take claimed, and when."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from loadgen._tape import APART, FIRST, WAITED

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Takes:
    """The takes of a run as they were recorded (see ``loadgen/_tape.pyx``), and read.

    ``words``: uint32[samples]. ``apart``: int64[k, 2], ns since the take before, and lateness, of
    the takes whose word does not hold them.
    """

    words: NDArray[np.uint32]
    apart: Integers

    @classmethod
    def of(cls, samples: int, first: Integers, at_ns: Integers, late_ns: Integers) -> Takes:
        """Takes of the samples from each ``first`` on; ``late_ns``: -1 where none had to wait."""
        words = np.zeros(samples, np.uint32)
        words[first] = np.where(late_ns < 0, FIRST | APART, FIRST | WAITED | APART)
        return cls(words, np.stack([np.diff(at_ns, prepend=0), late_ns], axis=1))

    @cached_property
    def first(self) -> Integers:
        """int64[takes]: the place of each take's first sample."""
        return np.flatnonzero(self.words & FIRST)

    @property
    def sizes(self) -> Integers:
        """int64[takes]: how many samples each take claimed."""
        return np.diff(self.first, append=len(self.words))

    @property
    def at_ns(self) -> Integers:
        """int64[takes]: when each take was handed out, in ns after the start."""
        gaps = (self.words[self.first] & APART).astype(np.int64)
        gaps[gaps == APART] = self.apart[:, 0]
        return np.cumsum(gaps)

    def late_ns(self, due_ns: Integers) -> Integers:
        """int64[takes]: how late each take woke for its first sample, due then; -1 if at once."""
        words = self.words[self.first]
        late = np.where(words & WAITED, self.at_ns - due_ns, -1)
        late[words & APART == APART] = self.apart[:, 1]
        return late
