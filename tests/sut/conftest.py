"""A network small enough to check by hand."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper


@pytest.fixture
def network(tmp_path):
    """y = x @ [[2, -1]] with a dynamic or a fixed batch dimension."""

    def make(batch="n"):
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["x", "w"], ["y"])],
            "line",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 1])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 2])],
            [numpy_helper.from_array(np.array([[2.0, -1.0]], np.float32), "w")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        path = tmp_path / f"line_{batch}.onnx"
        onnx.save(model, str(path))
        return path

    return make
