"""Whether everything fits on a device, asked before anything is put there."""

from __future__ import annotations

from collections.abc import Mapping

RESERVE_BYTES = 512 << 20
"""Left for plans' workspaces, tuning and the driver."""


def check(device: int, free_bytes: int, parts: Mapping[str, int]) -> None:
    """Raise RuntimeError with all sizes if ``parts`` (bytes by what they are for) do not fit."""
    needed = sum(parts.values())
    if needed + RESERVE_BYTES <= free_bytes:
        return
    sizes = ", ".join(f"{name} {size / 2**30:.2f} GiB" for name, size in parts.items())
    raise RuntimeError(
        f"Device {device} has {free_bytes / 2**30:.2f} GiB free, and the run needs "
        f"{needed / 2**30:.2f} GiB ({sizes}) besides {RESERVE_BYTES / 2**30:.2f} GiB of reserve. "
        "Set a smaller sut.max_batch, fewer sut.streams or sut.workers, a smaller "
        "dataset.performance_sample_count, or sut.start_from_device=false, which leaves the "
        "samples in the host's memory."
    )
