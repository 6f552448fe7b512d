from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

STATUS: dict[str, int]
UNTAKEN: int
OPEN: int
FIRST: int
WAITED: int
APART: int

def played(
    scheduled_ns: NDArray[np.int64],
    per_query: int,
    takes: Iterable[tuple[int, int, int, int]],
    answers: Iterable[tuple[int, int, bool, int]],
) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64], tuple[int, int, int, int]]: ...
