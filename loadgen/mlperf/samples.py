"""What passes between a test and a system under test: samples to answer, and responses."""

from __future__ import annotations

from collections.abc import Sequence

# Plain slotted classes without checks: two are made for each query while the clock runs.


class QuerySample:
    """One sample to answer: ``id`` names this issue of it, ``index`` the sample."""

    __slots__ = ("id", "index")

    def __init__(self, id: int = 0, index: int = 0) -> None:
        self.id = id
        self.index = index

    def __getstate__(self) -> tuple[int, int]:
        return self.id, self.index

    def __setstate__(self, state: tuple[int, int]) -> None:
        self.id, self.index = state


class QuerySampleResponse:
    """The answer to the sample ``id``: ``size`` bytes at the address ``data``, copied at once."""

    __slots__ = ("data", "id", "n_tokens", "size")

    def __init__(self, id: int = 0, data: int = 0, size: int = 0, n_tokens: int = 0) -> None:
        self.id = id
        self.data = data
        self.size = size
        self.n_tokens = n_tokens

    def __getstate__(self) -> tuple[int, int, int, int]:
        return self.id, self.data, self.size, self.n_tokens

    def __setstate__(self, state: Sequence[int]) -> None:
        self.__init__(*state)  # type: ignore[misc]


class VectorQuerySample(list[QuerySample]):
    """A list of samples."""


class VectorQuerySampleResponse(list[QuerySampleResponse]):
    """A list of responses."""
