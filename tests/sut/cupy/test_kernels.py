"""The kernels of kernels.cu, compiled for the processor, against the layers in NumPy."""

from dataclasses import replace

import numpy as np
import pytest

from sut.cupy.files import read
from sut.cupy.graph import Network
from sut.cupy.images import stored
from sut.cupy.kernels import arg_max, launch_of, stem_wide
from sut.cupy.launch import Card
from sut.cupy.layers import Average, Convolution, Halved, shapes_of
from sut.cupy.numbers import DTYPES
from sut.cupy.steps import number_of, steps_of, stored_as

from . import host, plain

pytestmark = pytest.mark.skipif(host.COMPILER is None, reason="no g++")
CARD = Card(1, 228 << 10, 227 << 10)  # one multiprocessor of an H200
OWN = ("stem", "depthwise", "max_pool", "average")
LAYERS = {"resnet": ("stem", "max_pool", "average"), "mobilenet": ("stem", "depthwise", "average")}


@pytest.fixture(scope="session")
def kernels(tmp_path_factory):
    """The library, whose functions take arrays and numbers."""
    return host.compiled("kernels", tmp_path_factory, beside=("numbers", "tensor_cores"))


class Values:
    """A network's tensors for some images, as the device stores them: [n, height, width, c]."""

    def __init__(self, network, values):
        self.network, self.values = network, values

    def stored(self, name):
        if number_of(self.network, name) != "int8":
            numbers = self.values[name].astype(np.float16)
        else:
            own = stored_as(self.network, name)
            numbers = np.rint(self.values[name] * own.factor) + own.zero
            numbers = np.clip(numbers, -128, 127).astype(np.int8)
        return np.ascontiguousarray(numbers.transpose(0, 2, 3, 1))

    def real(self, name, numbers):
        """float64 of what the device has stored."""
        whole = isinstance(next(x for x in self.network.layers if x.name == name), Average)
        own = stored_as(self.network, name) if not whole else stored_as(self.network, "fc")
        found = numbers.transpose(0, 3, 1, 2).astype(np.float64)
        return found if whole else (found - own.zero) / own.factor


def _made(kernels, tensors, step, images, rows, card=CARD):
    """What the kernel for ``step`` makes of the stored numbers of the layer before it."""
    network, layer = tensors.network, step.layer
    channels, height, width = network.shapes[layer.name]
    whole = "fp16" if isinstance(layer, Average) else number_of(network, layer.name)
    y = np.full((len(rows), height, width, channels), 77, DTYPES[whole])
    arrays = {**step.arrays, "y": y}
    if step.kind == "stem":
        arrays |= {"samples": stored(np, network, images), "rows": rows.astype(np.int32)}
    else:
        arrays["x"] = tensors.stored(layer.source)[rows]
    host.run(kernels, launch_of(network, step, len(rows), card), arrays)
    return y


@pytest.mark.parametrize("number", ["fp16", "int8"])
@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_is_numpys(kernels, networks, images, quantised, name, number):
    network, values = quantised(name)
    if number == "fp16":
        network = read(networks[name], "classes")
    tensors = Values(network, values)
    rows = np.array([3, 0, 7, 7, 1])
    steps = [step for step in steps_of(network) if step.kind in OWN]
    assert {step.kind for step in steps} == set(LAYERS[name])
    for step in steps:
        made = tensors.real(step.layer.name, _made(kernels, tensors, step, images, rows))
        wanted = values[step.layer.name][rows]
        error = np.linalg.norm(made - wanted) / np.linalg.norm(wanted)
        assert error < (0.002 if number == "fp16" else 0.02), (step.kind, step.layer.name, error)


@pytest.mark.parametrize("name", LAYERS)
def test_bytes_are_numpys_to_the_last_one(kernels, images, quantised, name):
    """Depthwise convolutions and pools of the very numbers that the device has."""
    network, values = quantised(name)
    tensors, rows = Values(network, values), np.arange(8)
    kinds = [step for step in steps_of(network) if step.kind in ("depthwise", "max_pool")]
    for step in kinds:
        layer = step.layer
        made = _made(kernels, tensors, step, images, rows).transpose(0, 3, 1, 2)
        x = tensors.stored(layer.source).transpose(0, 3, 1, 2).astype(np.float64)
        if step.kind == "max_pool":
            assert np.array_equal(made, plain.windows(x, 3, layer, -np.inf).max((-2, -1)))
            continue
        weights = step.arrays["filters"].astype(np.float64).transpose(2, 0, 1)
        views = plain.windows(x, 3, layer, step.source.zero)
        sums = np.einsum("nchwij,cij->nchw", views, weights) + step.arrays["bias"][:, None, None]
        wanted = np.clip(sums, step.low, step.high)
        assert np.abs(made - wanted).max() < 0.5 + 1e-4
    assert kinds


@pytest.mark.parametrize("processors", [1, 2, 100])
def test_blocks_go_on_from_image_to_image(kernels, networks, images, processors):
    network = read(networks["resnet"], "classes")
    step, values = steps_of(network)[0], plain.outputs(network, images)
    tensors, rows = Values(network, values), np.array([5, 2, 2, 0, 7, 1, 6])
    card = replace(CARD, processors=processors)
    grid = launch_of(network, step, len(rows), card).grid
    assert grid == (1, 4, {1: 1, 2: 1, 100: 7}[processors])
    made = tensors.real(step.layer.name, _made(kernels, tensors, step, images, rows, card))
    assert np.allclose(made, values[step.layer.name][rows], atol=0.01)


def test_threads_may_take_turns_in_either_order(kernels, images, quantised):
    network, values = quantised("resnet")
    tensors, rows = Values(network, values), np.arange(8)
    for step in steps_of(network):
        if step.kind in OWN:
            rising = _made(kernels, tensors, step, images, rows)
            kernels.take_turns(1)
            try:
                falling = _made(kernels, tensors, step, images, rows)
            finally:
                kernels.take_turns(0)
            assert np.array_equal(rising, falling), step.kind


@pytest.mark.parametrize("batch", [1, 3])
def test_bytes_as_halves_are_exact(kernels, images, quantised, batch):
    network, values = quantised("mobilenet")
    first = network.layers[0]
    layers = (first, Halved("copy", first.name))
    shapes = shapes_of(network.input, network.image, layers)
    tensors = Values(replace(network, layers=layers, shapes=shapes), values)
    step = steps_of(tensors.network)[1]
    numbers = np.resize(np.arange(-128, 128), values[first.name].shape).astype(np.int8)
    tensors.stored = lambda name: np.ascontiguousarray(numbers.transpose(0, 2, 3, 1))
    made = tensors.real("copy", _made(kernels, tensors, step, images, np.arange(batch)))
    own = stored_as(network, first.name)
    assert own.zero == -128
    assert np.array_equal(made, ((numbers.astype(float) - own.zero) / own.factor)[:batch])


def test_the_first_of_the_largest_is_the_answer(kernels):
    logits = np.random.default_rng(0).integers(0, 30, (9, 104)).astype(np.float32)
    logits[:, 100:] = 1e9  # beyond the classes
    found = np.full(9, -1, np.int64)
    host.run(kernels, arg_max(9, 100, 104), {"x": logits, "y": found})
    assert np.array_equal(found, logits[:, :100].argmax(1))


def test_a_block_with_less_shared_memory_makes_fewer_lines():
    """99 KB, as on devices of compute capability 8.9."""
    image, pads = (3, 224, 224), (3, 3, 3, 3)
    layer = Convolution("stem", "image", np.ones((64, 3, 7, 7)), np.ones(64), 2, pads)
    shapes = shapes_of("image", image, (layer,))
    network = Network("image", image, (layer,), "", {}, shapes)
    (step,) = steps_of(network)
    large, small = (
        launch_of(network, step, 256, card)
        for card in (Card(132, 228 << 10, 227 << 10), Card(58, 100 << 10, 99 << 10))
    )
    assert large.kernel == "stem<__half, 7, 2, 64, 8, 112>"
    assert (large.grid, large.shared_bytes) == ((1, 14, 18), 106_976)
    assert small.kernel == "stem<__half, 7, 2, 64, 4, 112>"
    assert (small.grid, small.shared_bytes) == ((1, 28, 2), 77_536)
    with pytest.raises(RuntimeError, match=r"layer stem, with 64 outputs .* 77,536 .* has 65,536"):
        launch_of(network, step, 256, Card(58, 64 << 10, 64 << 10))


def test_few_pixels_of_a_line_are_made_in_vain():
    assert [stem_wide(width) for width in (32, 112, 150, 600)] == [32, 112, 80, 104]
