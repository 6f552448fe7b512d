"""The null system: it answers without working, so that what is measured is the generator."""

from __future__ import annotations

import time

import numpy as np

from loadgen import LoadedSet, Queries


class NullSut:
    """Answer each batch at once, or after ``delay_us`` microseconds of sleep.

    Its response to a sample is the sample's index, int64.
    """

    def __init__(
        self, *, name: str = "null", workers: int = 1, max_batch: int = 1, delay_us: float = 0.0
    ) -> None:
        self.name = name
        self.workers = workers
        self.max_batch = max_batch
        self.delay_s = delay_us / 1e6

    def load(self, samples: LoadedSet) -> None:
        """Nothing to get ready."""

    def unload(self) -> None:
        """Nothing to let go of."""

    def serve(self, queries: Queries, worker: int) -> None:
        """Take and complete until the run is over."""
        while (batch := queries.take(self.max_batch)) is not None:
            if self.delay_s:
                time.sleep(self.delay_s)
            batch.complete(batch.indices.astype(np.int64))
