"""The kernels of pointwise.cu and window.cu, compiled for the processor, against NumPy."""

from types import SimpleNamespace

import numpy as np
import pytest

from sut.cupy.convolution import Problem
from sut.cupy.launch import Card
from sut.cupy.pointwise import TILES
from sut.cupy.rivals import KERNELS, Rivals

from . import host

pytestmark = pytest.mark.skipif(host.COMPILER is None, reason="no g++")


@pytest.fixture(scope="session")
def kernels(tmp_path_factory):
    """The libraries by name, whose functions take arrays and numbers."""
    beside = ("numbers", "tensor_cores")
    return {name: host.compiled(name, tmp_path_factory, beside=beside) for name in KERNELS}


def _problem(dtype, image, outputs, kernel=1, stride=1, residual=False, low=None, high=None):
    filters, pads = (outputs, kernel, kernel), (kernel // 2,) * 4
    return Problem(image, filters, stride, pads, dtype, dtype, residual, low, high)


def _drawn(problem, seed=0):
    """Arrays in whose sums no rounding depends on their order."""
    draw = np.random.default_rng(seed)
    batch, inputs, height, width = problem.image
    outputs, *kernel = problem.filters
    _, _, out_height, out_width = problem.result
    number = np.int8 if problem.dtype == "int8" else np.float16
    most = 127 if problem.dtype == "int8" else 4
    arrays = {
        "x": draw.integers(-most, most + 1, (batch, height, width, inputs)).astype(number),
        "w": draw.integers(-most, most + 1, (outputs, *kernel, inputs)).astype(number),
        "bias": draw.integers(-40, 40, outputs).astype(np.float32) + np.float32(0.25),
    }
    if problem.dtype == "int8":
        arrays["scale"] = np.exp2(draw.integers(-15, -11, outputs)).astype(np.float32)
    if problem.residual:
        shape = (batch, out_height, out_width, outputs)
        arrays["residual"] = draw.integers(-most, most + 1, shape).astype(number)
        if problem.dtype == "int8":
            arrays["residual_scale"] = np.full(outputs, 0.75, np.float32)
    return arrays


def _expected(problem, arrays):
    around = problem.pads[0]
    padded = np.pad(arrays["x"].astype(np.float64), ((0, 0), *2 * ((around, around),), (0, 0)))
    sides = (problem.filters[1],) * 2
    views = np.lib.stride_tricks.sliding_window_view(padded, sides, (1, 2))
    views = views[:, :: problem.stride, :: problem.stride]
    sums = np.einsum("nhwcij,oijc->nhwo", views, arrays["w"].astype(np.float64), optimize=True)
    sums = sums * arrays.get("scale", 1) + arrays["bias"]
    if problem.residual:
        share = arrays.get("residual_scale", 1)
        sums = sums + arrays["residual"].astype(np.float64) * share
    sums = np.clip(sums, problem.low, problem.high)
    return np.rint(sums).astype(np.int8) if problem.dtype == "int8" else sums.astype(np.float16)


def _launches(problem, processors=132):
    """By the name of the source; the launches that solve it."""
    card = Card(processors, 228 << 10, 227 << 10)
    found = {name: own(problem, card) for name, own in KERNELS.items()}
    return next(((name, own) for name, own in found.items() if own), ("", []))


def _each(kernels, problem, arrays, processors=1):
    """What each way to share the work out makes of it."""
    name, launches = _launches(problem, processors)
    for launch in launches:
        made = np.full((*problem.result[:1], *problem.result[2:], problem.filters[0]), 99)
        made = np.ascontiguousarray(made.astype(arrays["x"].dtype))
        host.run(kernels[name], launch, {**arrays, "y": made})
        yield launch, made


BYTES = {"low": -128.0, "high": 127.0}
CASES = [
    _problem("int8", (2, 64, 5, 7), 128, residual=True, **BYTES),
    _problem("int8", (1, 48, 9, 4), 80, low=-100.0, high=90.0),  # neither a whole block nor part
    _problem("int8", (3, 208, 6, 5), 64, stride=2, **BYTES),  # four parts, the last one not whole
    _problem("int8", (1, 64, 7, 7), 64, stride=2, residual=True, **BYTES),
    _problem("int8", (9, 64, 8, 9), 192, residual=True, **BYTES),  # blocks go on to more rows
    _problem("fp16", (2, 64, 5, 7), 128, residual=True, low=0.0),
    _problem("fp16", (1, 40, 9, 4), 72, low=0.0, high=6.0),
    _problem("int8", (1, 64, 9, 30), 64, kernel=3, **BYTES),
    _problem("int8", (3, 32, 4, 29), 48, kernel=3, low=-90.0, high=100.0),
    _problem("fp16", (1, 32, 5, 6), 64, kernel=3, low=0.0),
    _problem("fp16", (3, 56, 6, 5), 64, stride=2),
]


@pytest.mark.parametrize("problem", CASES, ids=lambda p: f"{p.dtype} {p.filters} {p.image}")
def test_each_way_to_share_the_work_gives_numpys_convolution(kernels, problem):
    arrays = _drawn(problem)
    expected = _expected(problem, arrays)
    assert len(np.unique(expected)) > 5
    found = list(_each(kernels, problem, arrays))
    assert len(found) == (2 if problem.filters[1] == 3 else 4)
    for launch, made in found:
        assert np.array_equal(made, expected), launch.kernel


@pytest.mark.parametrize("processors", [1, 2, 30])
def test_blocks_share_the_work_however_many_there_are(kernels, processors):
    for problem, grids in (
        (CASES[4], {1: 6, 2: 12, 30: 33}),
        (CASES[8], {1: 2, 2: 4, 30: 6}),
    ):
        arrays = _drawn(problem)
        expected = _expected(problem, arrays)
        for launch, made in _each(kernels, problem, arrays, processors):
            assert np.array_equal(made, expected), launch.kernel
        *_, last = _launches(problem, processors)[1]
        assert last.grid == (grids[processors], 1, 1)


def test_no_more_blocks_than_run_at_a_time():
    """A few more would wait for all the others, and the whole take twice as long."""
    deep = _problem("int8", (256, 256, 14, 14), 1024, residual=True)
    assert TILES[0].shared_bytes(deep) == 98_816  # two blocks on each of 132: 264
    assert (
        TILES[0].blocks(deep, Card(132, 228 << 10, 227 << 10)) == 256
    )  # 16 for each of 16 groups of columns


def test_a_tile_that_does_not_fit_a_block_is_not_tried():
    deep = _problem("fp16", (8, 128, 56, 56), 256, residual=True)
    small = Card(58, 100 << 10, 99 << 10)
    kept = [tile for tile in TILES if tile.shared_bytes(deep) <= 99 << 10]
    assert kept == list(TILES[1:])
    found = [launch.kernel for launch in KERNELS["pointwise"](deep, small)]
    assert found == [tile.kernel(deep) for tile in kept]
    assert len(_launches(deep)[1]) == 4
    three = _problem("int8", (8, 64, 56, 56), 64, kernel=3)
    assert len(_launches(three)[1]) == 2 and not KERNELS["window"](three, small)


@pytest.mark.parametrize("problem", [CASES[2], CASES[7]], ids=["pointwise", "window"])
def test_threads_may_take_turns_in_either_order(kernels, problem):
    arrays = _drawn(problem, seed=1)
    expected = _expected(problem, arrays)
    for library in kernels.values():
        library.take_turns(1)
    try:
        for launch, made in _each(kernels, problem, arrays):
            assert np.array_equal(made, expected), launch.kernel
    finally:
        for library in kernels.values():
            library.take_turns(0)


def test_what_no_kernel_solves_is_left_to_cudnn():
    image = (1, 64, 8, 8)

    def solved(*given, **named):
        return bool(_launches(_problem(*given, **named), 1)[1])

    assert solved("int8", image, 64) and solved("bf16", image, 72)
    assert solved("int8", image, 64, kernel=3) and solved("bf16", (1, 32, 8, 8), 64, kernel=3)
    assert not solved("int8", image, 72)  # no whole lines
    assert not solved("fp16", (1, 60, 8, 8), 64)
    assert not solved("fp8", image, 64)
    assert not solved("int8", (1, 272, 8, 8), 64)  # too many inputs to keep weights
    assert not solved("fp16", image, 64, kernel=3) and not solved("int8", image, 80, kernel=3)
    assert not solved("int8", image, 64, kernel=3, stride=2)
    assert not solved("int8", image, 64, kernel=3, residual=True)
    assert not solved("int8", image, 64, kernel=5)
    shape = (image, (64, 1, 1), 1)
    for pads, out in (((1, 0, 0, 1), "fp16"), ((0,) * 4, "fp32")):
        assert not _launches(Problem(*shape, pads, "fp16", out, False, None, None), 1)[1]


def test_a_kernel_gets_addresses_numbers_and_nothing_for_what_there_is_not():
    problem, given = _problem("fp16", (1, 64, 8, 8), 64), []
    launch = _launches(problem)[1][0]
    launch.enqueue(lambda *positional, **named: given.append((positional, named)), _places(problem))
    ((grid, block, arguments), named) = given[0]
    assert (grid, block) == (launch.grid, (launch.threads,))
    assert named == {"shared_mem": launch.shared_bytes}
    assert list(arguments[:7]) == [100, 101, 0, 102, 0, 0, 103]  # no scale, share or residual
    assert {type(x) for x in arguments[:7]} == {np.uint64}
    assert list(arguments[7:9]) == [64, 64]
    with pytest.raises(KeyError):
        launch.enqueue(lambda *_, **__: None, {"x": 1})


def _places(problem):
    return {name: 100 + i for i, name in enumerate(problem.tensors)}


def test_a_plan_is_compiled_once_with_those_that_it_is_tried_with():
    made = []

    def module(code, options, name_expressions):
        made.append(name_expressions)
        function = lambda name: SimpleNamespace(max_dynamic_shared_size_bytes=0)  # noqa: E731
        return SimpleNamespace(get_function=function)

    card = Card(132, 228 << 10, 227 << 10)
    rivals = Rivals(SimpleNamespace(RawModule=module), card)
    assert len(rivals.version) == 8
    plans = rivals.plans(CASES[0])
    assert [plan.name for plan in plans] == [tile.kernel(CASES[0]) for tile in TILES]
    for plan in (*plans, *rivals.plans(CASES[0])):
        plan.build()
    assert made == [[plan.name for plan in plans]]
    assert rivals.plans(_problem("fp8", (1, 64, 8, 8), 64)) == []
