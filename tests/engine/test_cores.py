"""What prepares and scores networks keeps to the cores that a process was given."""

import os
from types import SimpleNamespace

import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine.cache import Cache
from engine.models.quantise import quantise
from engine.quality import plain_loop
from loadgen import LoadedSet

COUNT = 4
IMAGE = np.ones((1, 4, 6, 6), np.float32)


def threads():
    return {thread.id for thread in psutil.Process().threads()}


@pytest.fixture
def new_threads():
    """The affinities of threads that began since, while this process may use one core alone."""
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs Linux and two cores")
    before, known = os.sched_getaffinity(0), threads()
    os.sched_setaffinity(0, {min(before)})
    try:
        yield lambda: [os.sched_getaffinity(thread) for thread in threads() - known]
    finally:
        os.sched_setaffinity(0, before)


@pytest.fixture
def network(tmp_path):
    kernel = np.random.default_rng(0).standard_normal((8, 4, 3, 3)).astype(np.float32)
    values = [("x", ["n", 4, 6, 6]), ("y", ["n", 8, 4, 4])]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in values)
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], "c"), helper.make_node("Relu", ["c"], "y")]
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(kernel, "w")])
    path = tmp_path / "fp32.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


def within(affinities):
    allowed = os.sched_getaffinity(0)
    return all(own <= allowed for own in affinities)


def test_calibration(tmp_path, network, new_threads):
    seen = []

    def feeds():
        for _ in range(2):
            seen.append(within(new_threads()))
            yield {"x": IMAGE}

    quantise(network, tmp_path / "int8.onnx", feeds(), False, Cache(tmp_path / "cache"))
    assert seen == [True, True]


def test_the_reference_of_an_accuracy_run(network, new_threads):
    seen = []

    def answer(row):
        seen.append(within(new_threads()))
        return row

    def load(indices):
        return LoadedSet(indices, (np.repeat(IMAGE, len(indices), axis=0),))

    library = SimpleNamespace(total_count=COUNT, load=load)
    assert len(plain_loop(network, "y", library, answer)) == COUNT
    assert seen == [True] * COUNT
