"""Decoded images as one array file in the cache, written in order and read by memory map.

It is written in blocks, each on the disk before the next begins. So what an interruption leaves is
sound up to the last block that another one follows, and is gone on with from there.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.cache import Cache
from engine.passing import bar

Pixels = NDArray[np.uint8]

PERFORMANCE_COUNT = 1024
"""How many samples a performance run loads where nothing else is said."""

WORKERS = min(32, os.cpu_count() or 1)
BLOCK = 64
"""Images that are decoded again at most."""


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
        header = _header((count, size, size, 3))
        had = _sound(path, header, size * size * 3)
        progress(f"preparing {count:,} images" + (f", {had:,} of them are there" if had else ""))
        began = time.monotonic()
        with path.open("r+b") as file:
            file.truncate(len(header) + had * size * size * 3 if had else 0)
            file.seek(0, os.SEEK_END)
            file.write(b"" if had else header)
            for done, pixels in enumerate(in_parallel(image, count, had), 1):
                file.write(np.ascontiguousarray(pixels).data)
                if done % BLOCK == 0:
                    file.flush()
                    os.fsync(file.fileno())
                per_s = done / max(time.monotonic() - began, 1e-9)
                progress(bar("preparing images", had + done, count, per_s))

    file = cache.file(key, ".npy", build, resumable=True)
    return np.load(file.path, mmap_mode="r", allow_pickle=False), file.sha256


def stacked(count: int, image: Callable[[int], Pixels]) -> Pixels:
    """``image(i)`` for i in 0 ... count - 1, in memory."""
    return np.stack(list(in_parallel(image, count)))


def _header(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    described = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, described)
    return file.getvalue()


def _sound(path: Path, header: bytes, image_bytes: int) -> int:
    """How many images of an unfinished file are surely whole."""
    with path.open("rb") as file:
        if file.read(len(header)) != header:
            return 0
    written = path.stat().st_size - len(header)
    return max(0, written - 1) // (BLOCK * image_bytes) * BLOCK


def in_parallel(image: Callable[[int], Pixels], count: int, first: int = 0) -> Iterator[Pixels]:
    """``image(i)`` for i in first ... count - 1, in order, made by several threads that stay a
    few images ahead."""
    with ThreadPoolExecutor(WORKERS) as pool:
        waiting = iter(range(first, count))
        ahead = [pool.submit(image, i) for i in islice(waiting, 4 * WORKERS)]
        try:
            while ahead:
                yield ahead.pop(0).result()
                ahead += [pool.submit(image, i) for i in islice(waiting, 1)]
        finally:
            for future in ahead:
                future.cancel()
