"""The kernels of pointwise.cu, compiled for the processor, against NumPy."""

import re

import numpy as np
import pytest

from sut.cupy.convolution import Problem
from sut.cupy.pointwise import SHARED_BYTES, TILES, Tile, arguments, fits

from . import host

pytestmark = pytest.mark.skipif(host.COMPILER is None, reason="no g++")


@pytest.fixture(scope="session")
def kernels(tmp_path_factory):
    """The library, whose functions take arrays and numbers."""
    return host.compiled("pointwise", tmp_path_factory, beside=("numbers",))


def _problem(dtype, image, outputs, stride=1, residual=False, low=None, high=None):
    filters = (outputs, 1, 1)
    return Problem(image, filters, stride, (0,) * 4, dtype, dtype, residual, low, high)


def _drawn(problem, seed=0):
    """Arrays in whose sums no rounding depends on their order."""
    draw = np.random.default_rng(seed)
    batch, inputs, height, width = problem.image
    outputs = problem.filters[0]
    _, _, out_height, out_width = problem.result
    number = np.int8 if problem.dtype == "int8" else np.float16
    most = 127 if problem.dtype == "int8" else 4
    arrays = {
        "x": draw.integers(-most, most + 1, (batch, height, width, inputs)).astype(number),
        "w": draw.integers(-most, most + 1, (outputs, inputs)).astype(number),
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
    x = arrays["x"][:, :: problem.stride, :: problem.stride].astype(np.float64)
    sums = x @ arrays["w"].T.astype(np.float64) * arrays.get("scale", 1) + arrays["bias"]
    if problem.residual:
        share = arrays.get("residual_scale", 1)
        sums = sums + arrays["residual"].astype(np.float64) * share
    sums = np.clip(sums, problem.low, problem.high)
    return np.rint(sums).astype(np.int8) if problem.dtype == "int8" else sums.astype(np.float16)


def _run(kernels, tile, problem, arrays, processors=1):
    made = np.full((*arrays["x"].shape[:1], *problem.result[2:], problem.filters[0]), 99)
    made = np.ascontiguousarray(made.astype(arrays["x"].dtype))
    _, parts, adds = re.fullmatch(
        r"pointwise<(.*), (\d), (true|false)>", tile.kernel(problem)
    ).groups()
    shape = f"{tile.tiles}_{tile.tall}_{tile.wide}"
    name = f"{problem.dtype}_{parts}{'_adds' * (adds == 'true')}_{shape}"
    given = arguments(problem, {**arrays, "y": made}, None)
    host.launch(kernels, name, (tile.blocks(problem, processors),), tile.threads, given)
    return made


BYTES = {"low": -128.0, "high": 127.0}
CASES = [
    _problem("int8", (2, 64, 5, 7), 128, residual=True, **BYTES),
    _problem("int8", (1, 48, 9, 4), 80, low=-100.0, high=90.0),  # neither a whole block nor part
    _problem("int8", (3, 208, 6, 5), 64, stride=2, **BYTES),  # four parts, the last one not whole
    _problem("int8", (1, 64, 7, 7), 64, stride=2, residual=True, **BYTES),
    _problem("int8", (9, 64, 8, 9), 192, residual=True, **BYTES),  # blocks go on to more rows
    _problem("fp16", (2, 64, 5, 7), 128, residual=True, low=0.0),
    _problem("fp16", (1, 40, 9, 4), 72, low=0.0, high=6.0),
    _problem("fp16", (3, 56, 6, 5), 64, stride=2),
]


@pytest.mark.parametrize("tile", TILES, ids=str)
@pytest.mark.parametrize("problem", CASES, ids=lambda p: f"{p.dtype} {p.image}")
def test_a_convolution_of_one_pixel_is_numpys_product(kernels, problem, tile):
    arrays = _drawn(problem)
    made, expected = _run(kernels, tile, problem, arrays), _expected(problem, arrays)
    assert len(np.unique(expected)) > 5
    assert np.array_equal(made, expected)


def test_blocks_share_the_rows_however_many_there_are(kernels):
    problem, tile = CASES[4], TILES[-1]
    arrays = _drawn(problem)
    for processors in (1, 2, 30):
        made = _run(kernels, tile, problem, arrays, processors)
        assert np.array_equal(made, _expected(problem, arrays))
    assert [tile.blocks(problem, count) for count in (1, 2, 30)] == [6, 12, 33]


def test_no_more_blocks_than_run_at_a_time():
    """A few more would wait for all the others, and the whole take twice as long."""
    deep = _problem("int8", (256, 256, 14, 14), 1024, residual=True)
    assert TILES[0].shared_bytes(deep) == 98_816  # two blocks on each of 132: 264
    assert TILES[0].blocks(deep, 132) == 256  # 16 for each of 16 groups of columns


def test_a_block_fits_a_multiprocessor():
    for dtype in ("int8", "fp16"):
        inputs = 256 // (1 if dtype == "int8" else 2)
        problem = _problem(dtype, (8, inputs, 56, 56), 256, residual=True)
        assert fits(problem)
        assert all(tile.shared_bytes(problem) <= SHARED_BYTES - 1024 for tile in TILES)
        assert Tile(1, 4, 2).shared_bytes(problem) == 128 * 264 + 2 * 64 * (
            256 + 128 * (1 if dtype == "int8" else 2)
        )


def test_threads_may_take_turns_in_either_order(kernels):
    problem = CASES[2]
    arrays = _drawn(problem, seed=1)
    rising = _run(kernels, TILES[0], problem, arrays)
    kernels.take_turns(1)
    try:
        assert np.array_equal(_run(kernels, TILES[0], problem, arrays), rising)
    finally:
        kernels.take_turns(0)
    assert np.array_equal(rising, _expected(problem, arrays))


def test_what_the_kernels_do_not_solve_is_left_to_cudnn():
    image = (1, 64, 8, 8)
    assert fits(_problem("int8", image, 64)) and fits(_problem("bf16", image, 72))
    assert not fits(_problem("int8", image, 72))  # no whole lines
    assert not fits(_problem("fp16", (1, 60, 8, 8), 64))
    assert not fits(_problem("fp8", image, 64))
    assert not fits(_problem("int8", (1, 272, 8, 8), 64))  # too many inputs to keep weights
    plain = _problem("fp16", image, 64)
    shape = (1, (0,) * 4, "fp16")
    assert fits(Problem(image, (64, 1, 1), *shape, "fp16", False, None, None)) and fits(plain)
    assert not fits(Problem(image, (64, 1, 1), *shape, "fp32", False, None, None))
    assert not fits(Problem(image, (64, 3, 3), *shape, "fp16", False, None, None))
    assert not fits(Problem(image, (64, 1, 1), 1, (1, 0, 0, 1), "fp16", "fp16", False, None, None))
