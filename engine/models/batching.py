"""Give a network that was exported for one sample a batch dimension, if its graph allows it."""

from __future__ import annotations

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto

from engine.system import usable_cores

TOLERANCE = 1e-3


def with_dynamic_batch(model: ModelProto) -> ModelProto | None:
    """A copy of ``model`` (batch size one) that takes any batch, None if there is none.

    The copy counts only if running two samples at once answers as running each by itself does.
    """
    freed = ModelProto()
    freed.CopyFrom(model)
    constants = {tensor.name for tensor in freed.graph.initializer}
    for value in (*freed.graph.input, *freed.graph.output):
        dims = value.type.tensor_type.shape.dim
        if value.name not in constants and dims and dims[0].dim_value == 1:
            dims[0].dim_param = "batch"
    del freed.graph.value_info[:]
    try:
        return freed if _agrees(freed) else None
    except _RUNTIME_ERRORS:
        return None


def _agrees(model: ModelProto) -> bool:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = usable_cores()
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    source = session.get_inputs()[0]
    shape = [2, *(d if isinstance(d, int) else 64 for d in source.shape[1:])]
    pair = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    both = session.run(None, {source.name: pair})
    singles = [session.run(None, {source.name: pair[i : i + 1]}) for i in range(2)]
    return all(
        _same(together, np.concatenate(apart))
        for together, apart in zip(both, zip(*singles, strict=True), strict=True)
    )


def _same(together: NDArray[np.generic], apart: NDArray[np.generic]) -> bool:
    if together.shape != apart.shape or len(together) != 2:
        return False
    if np.issubdtype(together.dtype, np.floating):
        limit = TOLERANCE * (1 + float(np.abs(apart).max(initial=0)))
        return bool(np.allclose(together, apart, rtol=0, atol=limit))
    return bool((together == apart).all())


_RUNTIME_ERRORS = (
    onnxruntime.capi.onnxruntime_pybind11_state.Fail,
    onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument,
    onnxruntime.capi.onnxruntime_pybind11_state.InvalidGraph,
    onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException,
    onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented,
    ValueError,
)
