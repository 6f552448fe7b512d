import numpy as np
from numpy.typing import NDArray

from loadgen.settings import Settings

class Traffic:
    loaded: NDArray[np.int64]
    sample_index: NDArray[np.int32]
    scheduled_ns: NDArray[np.int64] | None
    samples_per_query: int
    least_queries: int
    @property
    def endless(self) -> bool: ...
    def more(self, queries: int) -> None: ...

def loaded_sets(
    settings: Settings, total_count: int, performance_count: int
) -> list[NDArray[np.int64]]: ...
def keeps_responses(settings: Settings) -> bool: ...
def logged(settings: Settings, samples: int) -> NDArray[np.bool_]: ...
def generate(
    settings: Settings, loaded: NDArray[np.int64], closed_loop_queries: int = 65536
) -> Traffic: ...
def offline_count(settings: Settings) -> int: ...
