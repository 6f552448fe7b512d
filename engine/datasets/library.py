"""The sample library of an image data set: decoded pixels on disk, preprocessed rows in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.config import Preprocessing
from loadgen.samples import LoadedSet

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]
Boxes = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Library:
    """Images cut into samples, as ``loadgen.samples.SampleLibrary`` asks for them.

    ``truth``: labels, int64[total_count], or objects in the form of COCO's annotation files, the
    images in the order of the samples. ``pixels``: uint8 [total_count, size, size, 3], RGB,
    usually memory-mapped; its content is identified by ``pixels_sha256``.
    ``calibration_pixels(count)``: uint8 [count, size, size, 3], and
    ``evaluated_too(count)``: how many of these a list took from the samples themselves.
    ``image(i)``: image i from its file as ``pixels`` holds it, None where there is no file.
    Where the truth is objects, the number of the image is a second input of the network.
    """

    name: str
    synthetic: bool
    performance_count: int
    truth: Labels | Boxes
    pixels: Pixels
    pixels_sha256: str
    preprocessing: Preprocessing
    calibration_pixels: Callable[[int], Pixels]
    image: Callable[[int], Pixels] | None = None
    evaluated_too: Callable[[int], int] = lambda count: 0

    @property
    def total_count(self) -> int:
        """Number of samples."""
        return len(self.pixels)

    @property
    def fingerprint(self) -> str:
        """Hex sha256 over pixels, truth and preprocessing: equal for equal samples."""
        digest = hashlib.sha256(self.pixels_sha256.encode())
        if isinstance(self.truth, Mapping):
            digest.update(json.dumps(self.truth, sort_keys=True).encode())
        else:
            digest.update(self.truth.astype("<i8").tobytes())
        digest.update(repr(self.preprocessing).encode())
        return digest.hexdigest()

    def load(self, indices: NDArray[np.int64]) -> LoadedSet:
        """The samples ``indices``, preprocessed: float32 [n, 3, H, W] or [n, H, W, 3], and for
        detectors the indices themselves, float32 [n]."""
        indices = np.asarray(indices, np.int64)
        return LoadedSet(indices, self._inputs((self.pixels[i] for i in indices), indices))

    @property
    def steps(self) -> str:
        """What ``fresh`` does."""
        if self.image is None:
            return "normalise; the pictures are drawn, there is no file to decode"
        crop = "" if isinstance(self.truth, Mapping) else ", crop"
        return f"read, decode, resize{crop} and normalise"

    def fresh(self, indices: NDArray[np.int32]) -> tuple[NDArray[np.float32], ...]:
        """What ``load`` gives for ``indices``, from the files instead of the decoded pixels."""
        image = self.pixels.__getitem__ if self.image is None else self.image
        return self._inputs((image(int(i)) for i in indices), indices)

    def unload(self, indices: Sequence[int] | NDArray[np.int64]) -> None:
        """Nothing to do: the arrays go with the LoadedSet that holds them."""

    def answer(self, response: NDArray[np.generic]) -> NDArray[np.generic]:
        """A response as it is logged and scored: as it came."""
        return response

    def calibration(self, count: int) -> tuple[NDArray[np.float32], ...]:
        """The network's inputs for ``count`` samples to calibrate a quantised network with.

        Raises ConfigError if the data set holds no images apart for that.
        """
        return self._inputs(self.calibration_pixels(count), np.arange(count))

    def _inputs(
        self, images: Iterable[Pixels], numbers: NDArray[np.int64] | NDArray[np.int32]
    ) -> tuple[NDArray[np.float32], ...]:
        inputs = normalise(images, len(numbers), self.preprocessing)
        return (
            (inputs, numbers.astype(np.float32)) if isinstance(self.truth, Mapping) else (inputs,)
        )


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
