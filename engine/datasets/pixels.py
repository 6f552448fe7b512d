"""Decoded images as one array file in the cache, written in order and read by memory map."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.cache import Cache

Pixels = NDArray[np.uint8]

PERFORMANCE_COUNT = 1024
"""How many samples a performance run loads where nothing else is said."""

WORKERS = min(32, os.cpu_count() or 1)
REPORT_EVERY = 1000


def cached(
    cache: Cache,
    key: str,
    count: int,
    size: int,
    image: Callable[[int], Pixels],
    progress: Callable[[str], None],
) -> tuple[Pixels, str]:
    """``image(i)`` for i in 0 ... count - 1: uint8 [count, size, size, 3], and its sha256."""

    def build(path: Path) -> None:
        progress(f"preparing {count:,} images")
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size, 3)}
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for done, pixels in enumerate(in_parallel(image, count), 1):
                file.write(np.ascontiguousarray(pixels).data)
                if done % REPORT_EVERY == 0 and done < count:
                    progress(f"preparing images: {done:,} of {count:,}")

    file = cache.file(key, ".npy", build)
    return np.load(file.path, mmap_mode="r", allow_pickle=False), file.sha256


def stacked(count: int, image: Callable[[int], Pixels]) -> Pixels:
    """``image(i)`` for i in 0 ... count - 1, in memory."""
    return np.stack(list(in_parallel(image, count)))


def in_parallel(image: Callable[[int], Pixels], count: int) -> Iterator[Pixels]:
    """``image(i)`` in order, made by several threads that stay a few images ahead."""
    with ThreadPoolExecutor(WORKERS) as pool:
        waiting = iter(range(count))
        ahead = [pool.submit(image, i) for i in islice(waiting, 4 * WORKERS)]
        try:
            while ahead:
                yield ahead.pop(0).result()
                ahead += [pool.submit(image, i) for i in islice(waiting, 1)]
        finally:
            for future in ahead:
                future.cancel()
