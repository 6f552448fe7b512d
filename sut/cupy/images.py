"""Samples as the first convolution reads them: half precision, four channels, padding included."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sut.cupy.graph import Network
from sut.cupy.layers import Convolution
from sut.cupy.steps import CHANNELS, stored_image
from sut.device import pinned

HOST_TO_DEVICE = 1
"""A kind of copy, as CUDA numbers them."""
AT_ONCE = 64
"""Images that are converted at a time."""


def image_bytes(network: Network) -> int:
    """Bytes of one image as it is stored."""
    lines, columns = stored_image(network)
    return lines * columns * CHANNELS * 2


def stored(xp: Any, network: Network, images: Any) -> Any:
    """float32 [n, 3, height, width] to fp16 [n, lines, columns, 4]; ``xp``: NumPy or CuPy."""
    first = network.layers[0]
    assert isinstance(first, Convolution)
    top, left = first.pads[:2]
    _, height, width = network.image
    lines, columns = stored_image(network)
    out = xp.zeros((len(images), lines, columns, CHANNELS), xp.float16)
    room = out[:, top : top + height, left : left + width, :3]
    shown = xp.asarray(images)[:, :, : room.shape[1], : room.shape[2]]
    room[...] = shown.transpose(0, 2, 3, 1)
    return out


def in_pinned_memory(cp: Any, network: Network, images: NDArray[np.generic]) -> NDArray[Any]:
    """All images in the host's memory, where every device can read them."""
    out = pinned(cp, (len(images), *stored_image(network), CHANNELS), np.float16)
    for at in range(0, len(images), AT_ONCE):
        out[at : at + AT_ONCE] = stored(np, network, images[at : at + AT_ONCE])
    return out


class Staging:
    """Room on a device for the images of a batch that lie in the host's pinned memory.

    ``images``: uint8 [most, image_bytes]; ``order``: int32 [most], the rows of a batch there;
    ``source``: the address of all images in the host's memory, whoever holds it.
    """

    def __init__(self, cp: Any, most: int, image_bytes: int) -> None:
        self._copy = cp.cuda.runtime.memcpyAsync
        self.images = cp.empty((most, image_bytes), cp.uint8)
        self.order = cp.arange(most, dtype=cp.int32)
        self.source = 0

    def bring(self, rows: NDArray[np.int32], stream: Any) -> None:
        """Enqueue a copy of the image of each of ``rows``.

        Copy engines take them while another stream computes; a kernel that reads the host's memory
        keeps the device from that.
        """
        _, size = self.images.shape
        target = self.images.data.ptr
        for place, row in enumerate(rows.tolist()):
            source = self.source + row * size
            self._copy(target + place * size, source, size, HOST_TO_DEVICE, stream.ptr)


def upload(cp: Any, network: Network, images: NDArray[np.generic]) -> Any:
    """All images on the device in use."""
    lines, columns = stored_image(network)
    out = cp.empty((len(images), lines, columns, CHANNELS), cp.float16)
    for at in range(0, len(images), AT_ONCE):
        out[at : at + AT_ONCE] = stored(cp, network, images[at : at + AT_ONCE])
    return out
