"""The sample library of an image data set: decoded pixels on disk, preprocessed rows in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.config import Preprocessing
from loadgen.samples import LoadedSet

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Library:
    """Images cut into samples, as ``loadgen.samples.SampleLibrary`` asks for them.

    ``labels``: int64[total_count]. ``pixels``: uint8 [total_count, size, size, 3], RGB, usually
    memory-mapped; its content is identified by ``pixels_sha256``. ``calibration_pixels(count)``:
    uint8 [count, size, size, 3] that are not among the samples.
    """

    name: str
    synthetic: bool
    performance_count: int
    labels: NDArray[np.int64]
    pixels: Pixels
    pixels_sha256: str
    preprocessing: Preprocessing
    calibration_pixels: Callable[[int], Pixels]

    @property
    def total_count(self) -> int:
        """Number of samples."""
        return len(self.labels)

    @property
    def fingerprint(self) -> str:
        """Hex sha256 over pixels, labels and preprocessing: equal for equal samples."""
        digest = hashlib.sha256(self.pixels_sha256.encode())
        digest.update(self.labels.astype("<i8").tobytes())
        digest.update(repr(self.preprocessing).encode())
        return digest.hexdigest()

    def load(self, indices: NDArray[np.int64]) -> LoadedSet:
        """The samples ``indices``, preprocessed: one float32 array [n, 3, H, W] or [n, H, W, 3]."""
        inputs = normalise((self.pixels[i] for i in indices), len(indices), self.preprocessing)
        return LoadedSet(np.asarray(indices, np.int64), (inputs,))

    def unload(self, indices: Sequence[int] | NDArray[np.int64]) -> None:
        """Nothing to do: the arrays go with the LoadedSet that holds them."""

    def calibration(self, count: int) -> NDArray[np.float32]:
        """``count`` preprocessed images to calibrate a quantised network with.

        Raises ConfigError if the data set holds no images apart for that.
        """
        return normalise(iter(self.calibration_pixels(count)), count, self.preprocessing)


def normalise(
    images: Iterable[Pixels], count: int, preprocessing: Preprocessing
) -> NDArray[np.float32]:
    """``(x / scale - mean) / std`` of uint8 RGB images: float32 in the layout asked for.

    ``mean`` and ``std`` are in the order of ``preprocessing.channels``.
    """
    p = preprocessing
    levels = np.arange(256)[:, None] / p.scale
    table = ((levels - np.array(p.mean)) / np.array(p.std)).astype(np.float32)
    order = (0, 1, 2) if p.channels == "rgb" else (2, 1, 0)
    planes_first = p.layout == "nchw"
    shape = (count, 3, p.size, p.size) if planes_first else (count, p.size, p.size, 3)
    out = np.empty(shape, np.float32)
    for row, image in zip(out, images, strict=True):
        planes = row if planes_first else row.transpose(2, 0, 1)
        for plane, channel, source in zip(planes, range(3), order, strict=True):
            plane[...] = table[image[..., source], channel]
    return out
