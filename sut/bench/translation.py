"""GNMT on ``sut=cupy``: its translations, its speed in every scenario, where a step's time goes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from sut.bench import layers
from sut.bench.networks import Subject
from sut.bench.scenarios import scenarios
from sut.cupy import CupySut
from sut.cupy.translation import Translation
from sut.cupy.translation_executor import TURNS, TranslationExecutor, ceiling
from sut.device import batch_sizes

CHECKED = 32
"""Sentences that ONNX Runtime translates, too."""
ROUNDS = 5
TIMED_STEPS = 6


def measure(given: Subject, asked: Any, say: Any) -> None:
    """A line for each figure, of the network in ``given`` and PyTorch's."""
    label = {"network": given.name, "system": "cupy fp16"}
    sut = CupySut(given.path, given.output, max_batch=max(asked.batches), streams=2)
    sut._sizes = tuple(sorted({*asked.batches, *batch_sizes(sut.max_batch)}))
    sut.load(given.samples)
    if "check" not in asked.without:
        _check(sut, given, label, say)
    best = 0.0
    if "batches" not in asked.without:
        for batch in asked.batches:
            found = _rate(lambda rows: sut._infer(0, given.samples, rows), given, batch)
            best = max(best, found)
            say(**label, batch=batch, sentences_per_s=found, ms=1e3 * batch / found)
    if "steps" not in asked.without:
        for batch in asked.batches:
            _graphs(sut, given, batch, label, say)
        _steps(sut, given, max(asked.batches), label, say)
        sut.load(given.samples)
    if "scenarios" not in asked.without:
        best = max(best, scenarios(sut, given.name, given.samples, asked.seconds, label, say))
        sut.load(given.samples)  # a run has unloaded them
    if "torch" not in asked.without:
        theirs = _theirs(sut, given, asked.batches, say)
        say(network=given.name, ours="fp16", sentences_per_s=best, over_torch=best / theirs)


def _rate(translate: Any, given: Subject, batch: int) -> float:
    """Sentences/s of batches of the samples, drawn anew for each of a few."""
    draw = np.random.default_rng(0)
    drawn = [draw.choice(given.samples.indices, batch) for _ in range(ROUNDS + 1)]
    translate(drawn[0])
    began = time.perf_counter()
    for rows in drawn[1:]:
        translate(rows)
    return ROUNDS * batch / (time.perf_counter() - began)


def _check(sut: CupySut, given: Subject, label: Any, say: Any) -> None:
    """What the encoder says, element by element, and the translations."""
    executor, network = sut._executors[0], sut._network
    assert isinstance(executor, TranslationExecutor) and isinstance(network, Translation)
    count = min(CHECKED, len(given.samples.indices))
    tokens, lengths = (x[:count] for x in given.samples.inputs)
    feed = {"tokens": tokens, "length": lengths}
    names = ["memory", "attention.key.out", given.output]
    wanted = layers.tensors(given.path, names, feed)
    rows = given.samples.indices[:count]
    found = sut._infer(0, given.samples, rows)
    inside = np.arange(lengths.max()) < lengths[:, None]
    size = next(x for x in executor._sizes if x >= count)
    for name, ours in (("memory", "values"), ("attention.key.out", "keys")):
        whole = executor._translator.arrays[ours].get()  # type: ignore[union-attr]
        by_time = whole[: lengths.max() * size].reshape(-1, size, network.units)[:, :count]
        apart = by_time.transpose(1, 0, 2)[inside].astype(np.float32) - wanted[name][inside]
        error = float(np.linalg.norm(apart) / np.linalg.norm(wanted[name][inside]))
        say(**label, layer=name, relative_error=error)
    agrees = alike(found, wanted[given.output], network.ranking.end)
    say(**label, sentences=count, agrees_with_onnxruntime=agrees)


def alike(found: Any, wanted: Any, end: int) -> float:
    """The share of translations that are the same up to their ends."""
    most = max(found.shape[1], wanted.shape[1])
    ours, theirs = (
        np.pad(x, ((0, 0), (0, most - x.shape[1])), constant_values=end) for x in (found, wanted)
    )
    return float((ours == theirs).all(1).mean())


class Timing:
    """A machine that notes how long each product and kernel takes on ``stream``."""

    def __init__(self, machine: Any, cp: Any, stream: Any) -> None:
        self._machine, self._event, self._stream = machine, cp.cuda.Event, stream
        self.number, self.threads = machine.number, machine.threads
        self.most_threads = machine.most_threads
        self.array, self.empty = machine.array, machine.empty
        self.noted: list[tuple[str, Any, Any]] = []

    def multiply(self, x: Any, weights: Any, out: Any) -> None:
        """A product, by its sizes: rows, sums, columns."""
        sizes = f"{'x'.join(map(str, x.shape))}x{weights.shape[-2]}"
        self._note(sizes, lambda: self._machine.multiply(x, weights, out))

    def launch(
        self, name: str, grid: Sequence[int], threads: int, arguments: Sequence[Any]
    ) -> None:
        """A kernel, by its name."""
        self._note(name, lambda: self._machine.launch(name, grid, threads, arguments))

    def _note(self, name: str, run: Any) -> None:
        began, ended = self._event(), self._event()
        began.record(self._stream)
        run()
        ended.record(self._stream)
        self.noted.append((name, began, ended))


def _steps(sut: CupySut, given: Subject, batch: int, label: Any, say: Any) -> None:
    """Milliseconds of a step's products and kernels with all beams, run one by one; the encoder's
    are too short for that: what the host needs to launch them would be counted."""
    executor, cp = sut._executors[0], sut._cp
    assert isinstance(executor, TranslationExecutor) and executor._translator is not None
    rows = np.resize(np.arange(len(given.samples.indices)), batch)
    longest = ceiling(int(given.samples.inputs[1][rows].max()))
    executor._host["rows"][:batch] = rows
    executor._host["count"][0] = executor._host["open"][0] = batch
    own = executor._translator
    plain = own._machine
    with executor.stream:
        own.encode(batch, longest, executor._samples.rows)
        own.step(batch, 0)  # fewer beams than there will be
        own._machine = timing = Timing(plain, cp, executor.stream)
        for turn in range(TIMED_STEPS):
            own.step(batch, 1 - turn % 2)
        executor.stream.synchronize()
        own._machine = plain
    spent: dict[str, list[float]] = defaultdict(list)
    for name, began, ended in timing.noted:
        spent[name].append(cp.cuda.get_elapsed_time(began, ended))
    for name, times in sorted(spent.items(), key=lambda x: -sum(x[1])):
        figures: dict[str, float] = {
            "launches": len(times) // TIMED_STEPS,
            "ms": sum(times) / TIMED_STEPS,
        }
        if "x" in name:
            sizes = [float(x) for x in name.split("x")]
            figures["tflop_s"] = 2e-9 * float(np.prod(sizes)) / (sum(times) / len(times))
        say(**label, step=name, **figures)
    whole = sum(sum(x) for x in spent.values()) / TIMED_STEPS
    say(**label, steps="all", batch=batch, ms=whole, launches=len(timing.noted) // TIMED_STEPS)


def _graphs(sut: CupySut, given: Subject, batch: int, label: Any, say: Any) -> None:
    """Milliseconds of the encoder's graph and of a step, as their graphs run."""
    executor, cp = sut._executors[0], sut._cp
    assert isinstance(executor, TranslationExecutor)
    size = next(x for x in executor._sizes if x >= batch)
    longest = np.argsort(given.samples.inputs[1], kind="stable")[::-1]
    rows = np.resize(longest[: min(size, len(longest))], size)
    executor._host["rows"][:size] = rows
    executor._host["count"][0] = executor._host["open"][0] = size
    steps = ceiling(int(given.samples.inputs[1][rows].max()))
    times = []
    for tokens, warm, runs in ((steps, 1, 4), (0, 1, 3)):
        began, ended = cp.cuda.Event(), cp.cuda.Event()
        for run in range(warm + runs):
            if run == warm:
                began.record(executor.stream)
            executor._graphs[size, tokens].launch(executor.stream)
        ended.record(executor.stream)
        ended.synchronize()
        times.append(float(cp.cuda.get_elapsed_time(began, ended)) / runs)
    say(**label, batch=size, tokens=steps, encoder_ms=times[0], step_ms=times[1] / TURNS)


def _theirs(sut: CupySut, given: Subject, batches: list[int], say: Any) -> float:
    """Sentences/s of PyTorch, at its best, and how many of its translations are ours."""
    import torch

    from sut.bench.torch_translation import Translator

    network = sut._network
    assert isinstance(network, Translation)
    own = Translator(network)
    tokens, lengths = given.samples.inputs

    def translate(indices: Any) -> Any:
        rows = given.samples.rows(indices)
        most = int(lengths[rows].max())
        source = torch.from_numpy(np.array(tokens[rows, :most], np.int64)).cuda()
        return own(source, torch.from_numpy(np.array(lengths[rows], np.int64))).cpu().numpy()

    label = {"network": given.name, "system": "torch fp16"}
    few = given.samples.indices[:CHECKED]
    same = alike(translate(few), sut._infer(0, given.samples, few), network.ranking.end)
    say(**label, sentences=len(few), agrees_with_ours=same)
    best = 0.0
    for batch in batches:
        found = _rate(translate, given, batch)
        best = max(best, found)
        say(**label, batch=batch, sentences_per_s=found)
    return best
