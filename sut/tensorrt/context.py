"""An engine on one stream: a context for each profile, and one CUDA graph for each batch size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sut.device import address
from sut.tensorrt.engine import Profile


class Runner:
    """Runs batches of up to the largest profile's ``most``; from one thread at a time.

    ``engine``: TensorRT's. ``graphs``: whether a batch's work can be recorded, which that of a
    network with results of unknown size cannot. The answers are those of the tensor ``output``.
    """

    def __init__(
        self,
        cp: Any,
        trt: Any,
        device: int,
        stream: Any,
        engine: Any,
        profiles: Sequence[Profile],
        output: str,
        graphs: bool,
    ) -> None:
        self._cp, self._device, self._stream = cp, device, stream
        self._profiles, self._output, self._records = profiles, output, graphs
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        reads = trt.TensorIOMode.INPUT
        self._inputs = [name for name in names if engine.get_tensor_mode(name) == reads]
        made = [name for name in names if name not in self._inputs]
        if output not in made:
            raise RuntimeError(f"The engine has no output {output}: it has {', '.join(made)}.")
        most = profiles[-1].most
        with cp.cuda.Device(device), stream:
            self._results = {
                name: cp.empty(
                    (most, *tuple(engine.get_tensor_shape(name))[1:]),
                    np.dtype(trt.nptype(engine.get_tensor_dtype(name))),
                )
                for name in made
            }
            self._contexts = []
            for number in range(len(profiles)):
                context = engine.create_execution_context()
                if context is None:
                    raise RuntimeError("TensorRT has no memory left for a context of the engine.")
                context.set_optimization_profile_async(number, stream.ptr)
                self._contexts.append(context)
            stream.synchronize()
        self._graphs: dict[tuple[int, ...], Any] = {}

    def __call__(self, inputs: Sequence[Any]) -> NDArray[np.generic]:
        """The answers to ``inputs``, arrays on the device: [n, ...] on the host."""
        count = len(inputs[0])
        where = (count, *map(address, inputs))
        with self._cp.cuda.Device(self._device), self._stream:
            if not self._records:
                self._enqueue(inputs)
            else:
                if where not in self._graphs:
                    self._graphs[where] = self._recorded(inputs)
                self._graphs[where].launch(self._stream)
            answers = self._results[self._output][:count].get(stream=self._stream)
            self._stream.synchronize()
        return answers

    def _recorded(self, inputs: Sequence[Any]) -> Any:
        self._enqueue(inputs)  # whatever is set up on first use
        self._stream.synchronize()
        self._stream.begin_capture()
        try:
            self._enqueue(inputs)
        finally:
            graph = self._stream.end_capture()
        return graph

    def _enqueue(self, inputs: Sequence[Any]) -> None:
        count = len(inputs[0])
        context = next(
            context
            for context, profile in zip(self._contexts, self._profiles, strict=True)
            if profile.least <= count <= profile.most
        )
        for name, array in zip(self._inputs, inputs, strict=True):
            context.set_input_shape(name, tuple(array.shape))
            context.set_tensor_address(name, address(array))
        for name, array in self._results.items():
            context.set_tensor_address(name, address(array))
        if not context.execute_async_v3(self._stream.ptr):
            raise RuntimeError(f"TensorRT could not run a batch of {count}.")
