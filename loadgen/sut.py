"""What LoadGen asks of a system under test."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

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


@runtime_checkable
class SimulatedSystem(Protocol):
    """A system that exists in virtual time only: its run takes as long as computing it takes."""

    name: str
    workers: int

    def load(self, samples: LoadedSet) -> None:
        """As for a real system."""

    def unload(self) -> None:
        """As for a real system."""

    def advance(self, queries: Queries, until_ns: int) -> None:
        """Take and answer everything that happens until ``until_ns`` on the virtual clock."""
