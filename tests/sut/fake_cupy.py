"""A CuPy without a device: its arrays are NumPy's, and it counts what is brought there."""

import contextlib
import types

import numpy as np


class _Array(np.ndarray):
    def set(self, array, stream):
        self.cupy.brought += 1
        self[...] = array

    def get(self, stream):
        return np.array(self)


def fake(devices=1, free=8 << 30):
    """The parts of CuPy that the systems use, with ``devices`` of ``free`` bytes each."""
    cupy = types.ModuleType("cupy")

    def made(array):
        own = array.view(_Array)
        _Array.cupy = cupy
        return own

    class Device(contextlib.nullcontext):
        def __init__(self, number=0):
            super().__init__(self)
            self.id, self.mem_info = number, (cupy.free, free)

        def use(self):
            pass

        def synchronize(self):
            pass

    class Stream(contextlib.nullcontext):
        ptr = 0

        def __init__(self, non_blocking=False):
            super().__init__(self)

        def synchronize(self):
            pass

        def begin_capture(self):
            cupy.recorded = []

        def end_capture(self):
            calls, cupy.recorded = cupy.recorded, None

            def launch(stream):
                for call in calls:
                    call()

            return types.SimpleNamespace(launch=launch)

    def enqueue(call):
        """What a library does on a stream: at once, or when the graph that records it runs."""
        call() if cupy.recorded is None else cupy.recorded.append(call)

    def asarray(array):
        cupy.brought += np.asarray(array).ndim > 1
        return made(np.array(array))

    cupy.free, cupy.brought, cupy.freed = free, 0, 0
    cupy.recorded, cupy.enqueue = None, enqueue
    pool = types.SimpleNamespace(free_all_blocks=lambda: setattr(cupy, "freed", cupy.freed + 1))
    cupy.get_default_memory_pool = lambda: pool
    cupy.asarray, cupy.take = asarray, np.take
    cupy.empty = lambda shape, dtype: made(np.empty(shape, dtype))
    cupy.cuda = types.SimpleNamespace(
        Device=Device,
        Stream=Stream,
        alloc_pinned_memory=bytearray,
        runtime=types.SimpleNamespace(
            getDeviceCount=lambda: devices,
            getDeviceProperties=lambda number: {"name": b"Card"},
        ),
    )
    return cupy
