"""GNMT step by step with the kernels of translation.cu, compiled for the processor, against ONNX
Runtime."""

import importlib.util
from functools import partial

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from engine.models import beam, gnmt, weights
from loadgen import LoadedSet
from sut.cupy import CupySut, translation_executor
from sut.cupy.files import read
from sut.cupy.sentences import Sentences, rows_of
from sut.cupy.translation_executor import TranslationExecutor, buffer_bytes
from sut.cupy.translator import Translator, buffers, stored
from sut.device import pinned

from .host import COMPILER, Host, compiled, launch, resident

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no g++")
HAS = all(importlib.util.find_spec(name) for name in ("cupy", "cudnn"))
WORDS, WIDTH, BEAMS = 203, 1 / 64, beam.WIDTH
LENGTHS = np.array([6, 2, 4, 5, 3, 1], np.int32)
END = beam.END


MUTANTS = (
    ("token[beam] = id,", "id", "words"),
    ("parents[(long long)step * beams + beam] = chosen / BEAMS;", "chosen / BEAMS", "lane"),
    ("origin[row] = from;", "from", "row_of[own]"),
    ("after[s] = before[s] + scores[s];", "before[s] + scores[s]", "scores[s]"),
    ("if (t < length[n]) {", "t < length[n]", "true"),
    ("ranking.coverage_weight * paid[beam];", "ranking.coverage_weight", "2.f"),
    ("ids[at] = own.place < vocabulary ? own.place : lane;", "own.place < vocabulary", "false"),
    ("float(last.x[k])", "float(last.x[k])", "0.f"),
)
"""Lines of the kernels, a part of each, and what breaks it."""


@pytest.fixture(scope="session")
def kernels(tmp_path_factory):
    """The kernels, which can be broken at one of ``MUTANTS``."""

    def breakable(text):
        for number, (line, right, wrong) in enumerate(MUTANTS):
            assert text.count(line) == 1, line
            switched = line.replace(right, f"(broken == {number} ? {wrong} : {right})", 1)
            text = text.replace(line, switched)
        start = "static int broken = -1;\n"
        start += 'extern "C" void break_at(int number) { broken = number; }\n'
        return start + text

    return compiled("translation", tmp_path_factory, f"-DBEAMS={BEAMS}", change=breakable)


@pytest.fixture(scope="module")
def model():
    """A network of 16 units and few words that ends some sentences early."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gnmt, "VOCABULARY", WORDS)
        network = gnmt.network("small", WIDTH)
    values = weights.seeded(network, 0)
    draw = np.random.default_rng(26)
    values["projection"] = draw.standard_normal(values["projection"].shape).astype(np.float32)
    values["attention.bias"] = draw.standard_normal(16).astype(np.float32)
    values["projection"][END] *= 3
    return network.model(values)


@pytest.fixture(scope="module")
def network(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "small.onnx"
    onnx.save(model, str(path))
    return read(path, "translation")


@pytest.fixture(scope="module")
def sentences():
    draw = np.random.default_rng(3)
    return draw.integers(3, WORDS, (len(LENGTHS), 9)).astype(np.int32), LENGTHS


def said(model, tokens, lengths):
    """ONNX Runtime's translations."""
    own = onnxruntime.InferenceSession(model.SerializeToString())
    return own.run(None, {"tokens": tokens, "length": lengths})[0]


def as_long(answers, most):
    return np.pad(answers, ((0, 0), (0, most - answers.shape[1])), constant_values=END)


def test_the_network_is_read_with_its_search(network):
    assert (network.beams, network.steps_per_token, network.units) == (BEAMS, 2, 16)
    assert [x.residual for x in network.encoder] == [False, False, True, True]
    assert [x.residual for x in network.decoder] == [False, False, True, True]
    ranking = network.ranking
    assert (ranking.start, ranking.end) == (beam.START, beam.END)
    found = (ranking.length_power, ranking.coverage_weight, ranking.impossible)
    assert found == pytest.approx((beam.LENGTH_PENALTY, beam.COVERAGE_PENALTY, beam.IMPOSSIBLE))


@pytest.mark.parametrize(
    ("name", "op"),
    [
        ("energy", "Sigmoid"),
        ("score.by_length", "Mul"),
        ("decoder.3.sum", "Mul"),
        ("encoder.4.sum", "Sub"),
        ("context.after", "GatherElements"),
        ("covered.log", "Exp"),
    ],
)
def test_another_computation_is_refused_by_its_node(model, network, tmp_path, name, op):
    other = onnx.ModelProto()
    other.CopyFrom(model)
    loop = next(node for node in other.graph.node if node.op_type == "Loop")
    nodes = [*other.graph.node, *loop.attribute[0].g.node]
    next(node for node in nodes if node.name == name).op_type = op
    path = tmp_path / "other.onnx"
    onnx.save(other, str(path))
    with pytest.raises(RuntimeError, match=f"GNMT.*{name}.*Use sut=onnxruntime"):
        read(path, "translation")


def traced(model, tokens, lengths):
    """ONNX Runtime's tensors: of the encoder, and of the loop's body in each step."""
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 3
    loop = next(node for node in model.graph.node if node.op_type == "Loop")
    body = loop.attribute[0].g
    given = [x.name for x in body.input]
    made = [x for node in body.node if node.op_type != "Constant" for x in node.output]
    known = {*given, *(x for node in body.node for x in node.output)}
    known |= {x.name for x in model.graph.initializer}
    free = sorted({x for node in body.node for x in node.input if x and x not in known})
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    names = list({"memory", "attention.key.out", *free, *loop.input[2:], loop.input[0]})
    whole.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    session = onnxruntime.InferenceSession(whole.SerializeToString(), quiet)
    found = session.run(names, {"tokens": tokens, "length": lengths})
    encoded = dict(zip(names, found, strict=True))
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), None)
        for name, x in ((name, encoded[name]) for name in free)
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in made]
    inputs += list(body.input)[2:]
    graph = helper.make_graph(body.node, "step", inputs, outputs, model.graph.initializer)
    step = helper.make_model(graph, opset_imports=model.opset_import, ir_version=8)
    session = onnxruntime.InferenceSession(step.SerializeToString(), quiet)
    fed = {name: encoded[name] for name in free}
    fed |= {name: encoded[x] for name, x in zip(given[2:], loop.input[2:], strict=True)}
    steps = []
    for _ in range(int(encoded[loop.input[0]].item())):
        steps.append(dict(zip(made, session.run(made, fed), strict=True)))
        after = [steps[-1][x.name] for x in body.output]
        fed |= dict(zip(given[2:], after[1:], strict=True))
        if not after[0]:
            break
    return encoded, steps


class Started:
    """A translator on the processor with a batch under way."""

    def __init__(self, machine, network, tokens, lengths, empty=np.zeros, most=8, longest=8):
        count = len(lengths)
        shapes = {"rows": (most,), "count": (1,), "open": (1,), "answers": (most, 2 * longest)}
        self.host = {name: empty(shape, np.int32) for name, shape in shapes.items()}
        self.host["count"][:] = self.host["open"][:] = count
        self.host["rows"][:count] = np.arange(count)
        self.own = Translator(machine, network, stored(machine, network), self.host, most, longest)
        self.samples = machine.array(rows_of((tokens, lengths), network))
        self.own.encode(most, longest, self.samples)
        self.most = most

    def __getitem__(self, name):
        return self.own.arrays[name]


@pytest.mark.parametrize("from_last", [False, True])
def test_every_layer_and_choice_of_every_step_is_onnx_runtimes(
    from_last, kernels, model, network, sentences
):
    tokens, lengths = sentences
    encoded, steps = traced(model, tokens, lengths)
    kernels.take_turns(from_last)
    own = Started(Host(kernels), network, tokens, lengths)
    close = {"rtol": 2e-4, "atol": 2e-5}
    inside = np.arange(lengths.max()) < lengths[:, None]
    for ours, theirs in (("values", "memory"), ("keys", "attention.key.out")):
        by_time = own[ours].reshape(-1, own.most, network.units)[: lengths.max(), : len(lengths)]
        found = by_time.transpose(1, 0, 2)
        np.testing.assert_allclose(found[inside], encoded[theirs][inside], **close)
    beams = BEAMS * len(lengths)
    for number, wanted in enumerate(steps):
        turn, live = number % 2, own["control"][3]
        rows = own["beam_of"][:live].copy()
        assert len(set(rows)) == live > 0
        own.own.step(own.most, turn)
        for layer in range(4):
            kept = wanted[f"decoder.{layer + 1}.hidden"][0][rows]
            np.testing.assert_allclose(own["hidden"][layer, :live], kept, **close)
            kept = wanted[f"decoder.{layer + 1}.cell"][0][rows]
            np.testing.assert_allclose(own["cells"][1 - turn, layer, :live], kept, **close)
        np.testing.assert_allclose(own["context"][:live], wanted["context"][rows], **close)
        for row, one in enumerate(rows):
            places = lengths[one // BEAMS]
            looks = wanted["attention"][one // BEAMS, one % BEAMS, :places]
            np.testing.assert_allclose(own["scores"][row, :places], looks, **close)
            covered = wanted["covered.now"][one // BEAMS, one % BEAMS, :places]
            np.testing.assert_allclose(own["covered"][1 - turn, row, :places], covered, **close)
        np.testing.assert_allclose(own["logits"][:live, :WORDS], wanted["logits"][rows], **close)
        np.testing.assert_array_equal(own["ids"][rows], wanted["best.ids"][rows])
        np.testing.assert_allclose(own["logs"][rows], wanted["best.log"][rows], **close)
        if number + 1 == len(steps):
            break
        # A sentence that has ended stays as it is, in ONNX's loop too.
        np.testing.assert_array_equal(own["token"][:beams], wanted["token.after"])
        np.testing.assert_allclose(own["total"][:beams], wanted["total.chosen"].ravel(), **close)
        np.testing.assert_array_equal(own["spoken"][:beams], wanted["spoken.chosen"].ravel())
        over = wanted["finished.after"].ravel()
        np.testing.assert_array_equal(own["finished"][:beams], over)
        assert sorted(own["beam_of"][: own["control"][3]]) == np.flatnonzero(~over).tolist()
        assert own.host["open"] == (~over.reshape(-1, BEAMS)).any(1).sum()
    ends = [step["finished.after"].all(1).sum() for step in steps]
    assert own.host["open"] == 0 and len(steps) > 4 and 0 < ends[len(steps) // 2] < len(lengths)
    kernels.take_turns(False)


def translated(executor, rows):
    executor.rows[1, : len(rows)] = rows
    executor.launch(len(rows), 1)
    return executor.answers(len(rows), 1)


def test_batches_one_after_the_other_are_onnx_runtimes(
    kernels, model, network, sentences, monkeypatch
):
    monkeypatch.setattr(translation_executor, "LENGTHS", 4)
    monkeypatch.setattr(translation_executor, "CLOSE", 3)
    tokens, lengths = sentences
    executor = TranslationExecutor(resident(network, kernels), (1, 4))
    for few in ([1, 5, 2], range(6)):  # longer ones come, for which there is no room yet
        rows = rows_of([x[list(few)] for x in sentences], network)
        executor.capture(Sentences(rows, lengths[list(few)]))
    steps = {(size, 0) for size in (1, 3, 4)}
    assert set(executor._graphs) == steps | {(size, most) for size in (1, 4) for most in (4, 8)}
    for rows in ([0, 1, 2], [5], [3, 4, 0, 5], [1, 1]):
        found = translated(executor, rows)
        wanted = said(model, tokens[rows], lengths[rows])
        np.testing.assert_array_equal(found, as_long(wanted, 16))


def test_what_is_taken_on_a_device_is_named_before(network):
    sut = object.__new__(CupySut)
    sut._network, sut._executors, sut._streams, sut.max_batch = network, [], 2, 16
    sut.start_from_device = True
    samples = LoadedSet(np.arange(6), (np.zeros((6, 9), np.int32), LENGTHS))
    parts = sut._parts(samples)
    assert parts["6 samples"] == 6 * 4 * (1 + LENGTHS.max())
    assert parts["weights"] == 2 * network.parameter_count
    (buffers_name,) = set(parts) - {"6 samples", "weights"}
    assert parts[buffers_name] == 2 * buffer_bytes(network, 16, int(LENGTHS.max()))


@pytest.mark.parametrize("number", range(-1, len(MUTANTS)))
def test_a_kernel_translates_otherwise_only_if_it_is_broken(
    number, kernels, model, network, sentences
):
    few = [x[[0, 2, 3]] for x in sentences]
    kernels.break_at(number)
    own, turn = Started(Host(kernels), network, *few, most=4), 0
    while own.host["open"]:
        own.own.step(int(own.host["open"][0]), turn)
        turn = 1 - turn
    own.own.answer(3)
    kernels.break_at(-1)
    same = np.array_equal(own.host["answers"][:3], as_long(said(model, *few), 16))
    assert same == (number == -1)


@pytest.mark.parametrize("threads", [32, 64])
@pytest.mark.parametrize("kind", ["drawn", "ties", "rising", "all alike"])
def test_the_likeliest_words_come_in_order_and_of_equals_the_first(kind, threads, kernels):
    words, pitch, rows = 1501, 1504, 3
    draw = np.random.default_rng(0)
    logits = draw.normal(0, 9, (rows, pitch)).astype(np.float32)
    if kind == "ties":
        logits = np.round(logits / 12)
    elif kind == "rising":
        logits.sort(axis=1)
    elif kind == "all alike":
        logits[:] = 2.5
    ids = np.full((8, BEAMS), -1, np.int32)
    logs = np.full((8, BEAMS), 9, np.float32)
    beam_of = np.array([4, 0, 7], np.int32)
    control = np.array([0, 1, 9, rows, 0, 1, 0, 0], np.int32)
    grid = (rows + 1,)  # one more than there are
    launch(
        kernels, "candidates", grid, threads, (logits, beam_of, ids, logs, control, words, pitch)
    )
    known = logits[:, :words].astype(np.float64)
    order = np.argsort(-known, axis=1, kind="stable")[:, :BEAMS]
    np.testing.assert_array_equal(ids[beam_of], order)
    log = (
        known
        - np.log(np.exp(known - known.max(1)[:, None]).sum(1))[:, None]
        - known.max(1)[:, None]
    )
    np.testing.assert_allclose(logs[beam_of], np.take_along_axis(log, order, 1), rtol=1e-5)
    assert (np.delete(ids, beam_of, 0) == -1).all()


def test_samples_are_checked_and_put_in_rows(network):
    tokens = np.array([[5, 7, END, END], [9, END, 999, 999]], np.int32)
    rows = rows_of((tokens, np.array([3, 2])), network)
    np.testing.assert_array_equal(rows, [[3, 5, 7, END], [2, 9, END, 0]])
    tokens[0, 1] = WORDS
    with pytest.raises(RuntimeError, match=f"tokens 0 to {WORDS - 1}.*to {WORDS} and"):
        rows_of((tokens, np.array([3, 2])), network)
    with pytest.raises(RuntimeError, match="sentences of 0"):
        rows_of((tokens % WORDS, np.array([3, 0])), network)


def test_memory_is_counted_as_it_is_taken(network, kernels):
    counted = buffer_bytes(network, 4, 5)
    shapes = buffers(network, 4, 8, np.float16)
    assert counted > sum(np.prod(shape) for shape, _ in shapes.values())
    assert buffer_bytes(network, 8, 5) > 1.5 * (counted - (32 << 20)) + (32 << 20)


@pytest.mark.gpu
@pytest.mark.skipif(not HAS, reason="no CuPy or cuDNN frontend")
@pytest.mark.parametrize("start_from_device", [True, False])
def test_a_device_translates_as_onnx_runtime_does(start_from_device, model, sentences, tmp_path):
    path = tmp_path / "small.onnx"
    onnx.save(model, str(path))
    tokens, lengths = sentences
    sut = CupySut(path, "translation", max_batch=8, start_from_device=start_from_device)
    samples = LoadedSet(np.arange(10, 16), sentences)
    sut.load(samples)
    for rows in ([0, 1, 2, 3, 4, 5], [5], [3, 1, 3], [0, 2, 4, 5, 1, 3, 2, 0]):
        found = sut._infer(1, samples, np.array(rows) + 10)
        wanted = as_long(said(model, tokens[rows], lengths[rows]), found.shape[1])
        assert (found == wanted).all(1).mean() > 0.6
    sut.unload()


@pytest.mark.gpu
@pytest.mark.skipif(not HAS, reason="no CuPy or cuDNN frontend")
def test_every_layer_on_a_device_is_the_processor_s(kernels, network, sentences):
    import cupy

    from sut.cupy.translation_executor import TranslationResident

    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        machine = TranslationResident(cupy, network).machine(stream)
        device = Started(machine, network, *sentences, partial(pinned, cupy))
        host = Started(Host(kernels), network, *sentences)
        for turn in range(2):
            device.own.step(8, turn)
            host.own.step(8, turn)
        stream.synchronize()
    live = len(LENGTHS) * BEAMS
    inside = np.arange(8)[:, None] < LENGTHS
    for name in ("values", "keys"):
        ours, theirs = device[name].get().reshape(8, 8, -1), host[name].reshape(8, 8, -1)
        assert apart(ours[:, : len(LENGTHS)][inside], theirs[:, : len(LENGTHS)][inside]) < 5e-3
    assert (device["token"].get()[:live] == host["token"][:live]).mean() > 0.8
    best = slice(0, live, BEAMS)  # further down two that are nearly alike may have changed places
    assert apart(device["total"].get()[best], host["total"][best]) < 5e-3


@pytest.mark.gpu
@pytest.mark.skipif(not HAS, reason="no CuPy or cuDNN frontend")
def test_no_memory_grows_over_100_translations(model, sentences, tmp_path):
    import cupy
    import psutil

    path = tmp_path / "small.onnx"
    onnx.save(model, str(path))
    sut, taken = CupySut(path, "translation", max_batch=4), []
    for _ in range(100):
        samples = LoadedSet(np.arange(6), sentences)
        sut.load(samples)
        sut._infer(0, samples, np.arange(4))
        sut.unload()
        taken.append((psutil.Process().memory_info().rss, -cupy.cuda.Device(0).mem_info[0]))
    host, device = (np.array(column) for column in zip(*taken, strict=True))
    assert host[90:].min() - host[10:20].min() < 32 << 20
    assert device[90:].min() - device[10:20].min() < 32 << 20


def apart(ours, theirs):
    """Relative error, in the 2-norm."""
    return np.linalg.norm(ours.astype(np.float32) - theirs) / np.linalg.norm(theirs)
