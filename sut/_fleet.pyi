from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from loadgen import Queries
from sut.trace import Pace

Chances = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.uint8]]

class Fleet:
    def __init__(
        self,
        times_ns: NDArray[np.int64],
        chances: Callable[[int], Chances],
        workers: int,
        wait_ns: int,
        network_ns: int,
        drift: float,
        drift_period_ns: int,
        tokens: NDArray[np.int32] | None = None,
        token_ns: NDArray[np.int64] | None = None,
        pace: Pace | None = None,
    ) -> None: ...
    def reset(self, elapsed_ns: int) -> None: ...
    def advance(self, queries: Queries, until_ns: int) -> None: ...
