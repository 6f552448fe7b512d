"""Samples as the first convolution reads them: half precision, four channels, padding included."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sut.cupy.graph import Network
from sut.cupy.layers import Convolution
from sut.cupy.steps import CHANNELS, stored_image
from sut.device import pinned

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


def upload(cp: Any, network: Network, images: NDArray[np.generic]) -> Any:
    """All images on the device in use."""
    lines, columns = stored_image(network)
    out = cp.empty((len(images), lines, columns, CHANNELS), cp.float16)
    for at in range(0, len(images), AT_ONCE):
        out[at : at + AT_ONCE] = stored(cp, network, images[at : at + AT_ONCE])
    return out
