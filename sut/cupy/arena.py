"""Which tensors share memory: one is written over once nothing will read it any more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sut.cupy.detector import Detections
from sut.cupy.graph import Network
from sut.cupy.layers import Average, Convolution, Dense, Layer
from sut.cupy.numbers import DTYPES
from sut.cupy.steps import number_of, stored_channels


@dataclass(frozen=True)
class Arena:
    """``slot_of``: the slot of every tensor; ``sizes``: bytes of each slot for one image."""

    slot_of: Mapping[str, int]
    sizes: tuple[int, ...]

    def bytes(self, batch: int) -> int:
        """Memory for a batch."""
        return batch * sum(self.sizes)


def bytes_of(network: Network) -> dict[str, int]:
    """Bytes of every layer's result for one image."""
    sizes = {}
    for layer in network.layers:
        _, height, sides = network.shapes[layer.name]
        channels = stored_channels(network, layer.name)
        match layer:
            case Detections():
                sizes[layer.name] = sum(layer.workspace.values())
            case Dense():
                sizes[layer.name] = 4 * channels
            case Average():
                sizes[layer.name] = 2 * channels
            case _:
                width = DTYPES[number_of(network, layer.name)].itemsize
                sizes[layer.name] = width * channels * height * sides
    return sizes


def arena_of(network: Network) -> Arena:
    """A small set of slots; each tensor takes the free one that has to grow least for it."""
    sizes, last = bytes_of(network), {}
    for index, layer in enumerate(network.layers):
        for name in _read(layer):
            last[name] = index
    last[network.response] = len(network.layers)
    slots: list[int] = []
    holds: dict[int, str] = {}
    slot_of: dict[str, int] = {}
    for index, layer in enumerate(network.layers):
        size = sizes[layer.name]
        busy = {slot for slot, name in holds.items() if last[name] >= index}
        free = [slot for slot in range(len(slots)) if slot not in busy]
        if free:
            slot = min(free, key=lambda s: (max(0, size - slots[s]), slots[s]))
        else:
            slot = len(slots)
            slots.append(0)
        slots[slot] = max(slots[slot], size)
        holds[slot], slot_of[layer.name] = layer.name, slot
    return Arena(slot_of, tuple(-(-size // 256) * 256 for size in slots))


def _read(layer: Layer) -> list[str]:
    if isinstance(layer, Detections):
        return list(layer.sources)
    names = [layer.source]
    if isinstance(layer, Convolution) and layer.residual:
        names.append(layer.residual)
    return names
