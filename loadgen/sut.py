"""What LoadGen asks of a system under test."""

from __future__ import annotations

from typing import Protocol

from loadgen._queries import Queries
from loadgen.samples import LoadedSet


class SystemUnderTest(Protocol):
    """Anything that takes queries and answers them.

    ``workers``: how many threads call ``serve`` side by side.
    """

    name: str
    workers: int

    def load(self, samples: LoadedSet) -> None:
        """Get ready to be asked for ``samples``: move them, compile, warm up. Untimed."""

    def unload(self) -> None:
        """Let go of what ``load`` was given."""

    def serve(self, queries: Queries, worker: int) -> None:
        """Take and complete batches until ``queries.take`` returns None.

        An exception that leaves it ends the run: the log then carries its traceback.
        """
