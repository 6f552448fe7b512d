"""The null system: it answers without working, so that what is measured is the generator."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from loadgen import LoadedSet, Queries
from sut.tokens import token_counts


class NullSut:
    """Answer each batch at once, or after ``delay_us`` microseconds of sleep.

    Its response to a sample is the sample's index, int64; where ``answer_tokens`` are given, of
    one of these numbers of tokens, which all come at once.
    """

    def __init__(
        self,
        *,
        name: str = "null",
        workers: int = 1,
        max_batch: int = 1,
        delay_us: float = 0.0,
        answer_tokens: Sequence[int] | None = None,
    ) -> None:
        self.name = name
        self.workers = workers
        self.max_batch = max_batch
        self.delay_s = delay_us / 1e6
        self.tokens = None if answer_tokens is None else token_counts(answer_tokens)

    def load(self, samples: LoadedSet) -> None:
        """Nothing to get ready."""

    def unload(self) -> None:
        """Nothing to let go of."""

    def serve(self, queries: Queries, worker: int) -> None:
        """Take and complete until the run is over."""
        while (batch := queries.take(self.max_batch)) is not None:
            if self.delay_s:
                time.sleep(self.delay_s)
            tokens = None
            if self.tokens is not None:
                batch.first_token()
                tokens = self.tokens[batch.indices % len(self.tokens)]
            batch.complete(batch.indices.astype(np.int64), tokens)
