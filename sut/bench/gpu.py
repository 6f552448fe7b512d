"""Measure the systems of this machine's GPU, beside PyTorch on the same card.

Networks on ``sut=cupy`` in every scenario and layer by layer; all five networks offline on all
systems that are installed.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sut.bench import layers, peers, profile, torch_graph, translation
from sut.bench.networks import NETWORKS, Subject, subject
from sut.bench.scenarios import scenarios
from sut.cupy import CupySut
from sut.cupy.executor import Executor
from sut.cupy.graph import Network
from sut.device import batch_sizes

CHECKED = 8
"""Images of the element-wise check."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument(
        "--precisions", nargs="+", choices=["fp16", "bf16", "int8"], default=["fp16", "int8"]
    )
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 64, 256])
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each LoadGen run")
    parser.add_argument(
        "--without",
        nargs="*",
        default=[],
        choices=["torch", "compile", "check", "scenarios", "batches", "steps", "peers"],
    )
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "tailbound")
    parser.add_argument("--json", type=Path)


def show(asked: argparse.Namespace) -> None:
    """Print one line for each figure."""
    found: list[dict[str, Any]] = []

    def say(**figures: Any) -> None:
        found.append(figures)
        print(
            "  ".join(
                f"{k}={v:,.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in figures.items()
            ),
            flush=True,
        )

    for name in asked.networks:
        if NETWORKS[name].task == "image_classification":
            _classifier(name, asked, say)
        elif NETWORKS[name].task == "translation":
            translation.measure(subject(name, "fp16", asked.samples, asked.cache), asked, say)
        elif NETWORKS[name].task == "object_detection" and "torch" not in asked.without:
            batch = min(max(asked.batches), NETWORKS[name].batch)
            given = subject(name, "fp16", asked.samples, asked.cache)
            found_rate = peers.torch_heads(given, batch)
            say(
                network=name, system="torch fp16 graph, heads", batch=batch, images_per_s=found_rate
            )
        if "peers" not in asked.without:
            measured = NETWORKS[name].task != "object_detection"
            chosen = [x for x in peers.cases(name) if not (measured and x[0] == "cupy")]
            by = partial(_subject, name, asked)
            peers.compare(name, by, chosen, asked, say)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))


def _subject(name: str, asked: Any, precision: str) -> Subject:
    return subject(name, precision, asked.samples, asked.cache)


def _classifier(name: str, asked: Any, say: Any) -> None:
    rates: dict[str, float] = {}
    for precision in asked.precisions:
        given = subject(name, precision, asked.samples, asked.cache)
        plain = subject(name, "fp16", asked.samples, asked.cache)
        rates[precision] = _ours(given, plain, asked, say)
    if "torch" not in asked.without:
        rates |= _theirs(plain, asked, say)
    best = max((rates[x] for x in rates if x.startswith("torch")), default=0.0)
    for precision in asked.precisions:
        if best:
            say(
                network=name,
                ours=precision,
                images_per_s=rates[precision],
                over_best_torch=rates[precision] / best,
                over_torch_graph=rates[precision] / rates["torch graph"],
            )


def _ours(given: Subject, plain: Subject, asked: Any, say: Any) -> float:
    label = {"network": given.name, "system": f"cupy {given.precision}"}
    sut = CupySut(
        given.path,
        given.output,
        max_batch=max(asked.batches),
        streams=2,
        precision=given.precision,
        plans=asked.cache / "cupy_plans.json",
    )
    sut._sizes = tuple(sorted({*asked.batches, *batch_sizes(sut.max_batch), CHECKED}))
    sut.load(given.samples)
    if "check" not in asked.without:
        _check(sut, given, plain, label, say)
    best = 0.0
    if "batches" not in asked.without:
        executor = sut._executors[0]
        for batch in asked.batches:
            graph = executor._graphs[batch, 0]
            executor.rows[:] = np.random.default_rng(0).integers(
                0, asked.samples, executor.rows.shape
            )
            launch = partial(graph.launch, executor.stream)
            found = torch_graph.rate(launch, executor.stream.synchronize, batch)
            best = max(best, found)
            say(**label, batch=batch, images_per_s=found, ms=1e3 * batch / found)
    if "steps" not in asked.without:
        profile.show(sut, max(asked.batches), label, say)
    if "scenarios" not in asked.without:
        best = max(best, scenarios(sut, given.name, given.samples, asked.seconds, label, say))
    return best


def _check(sut: CupySut, given: Subject, plain: Subject, label: Any, say: Any) -> None:
    images = np.asarray(given.samples.inputs[0][:CHECKED], np.float32)
    executor, network = sut._executors[0], sut._network
    assert isinstance(executor, Executor) and isinstance(network, Network)
    own = layers.differences(executor, network, plain.path, images, sut._sources[0])
    for kind in dict.fromkeys(x[0] for x in own):
        worst = max((x for x in own if x[0] == kind), key=lambda x: x[2])
        say(
            **label,
            layer=kind,
            count=sum(x[0] == kind for x in own),
            worst=worst[1],
            relative_error=worst[2],
            mean_error=worst[3],
        )
    answers = np.concatenate(
        [
            sut._infer(0, given.samples, given.samples.indices[at : at + sut.max_batch])
            for at in range(0, len(given.labels), sut.max_batch)
        ]
    )
    count = min(64, len(answers))
    logits = layers.reference(plain.path, [network.response], given.samples.inputs[0][:count])
    wanted = logits[network.response]
    say(
        **label,
        top1=float((answers == given.labels).mean()),
        agrees_with_onnxruntime=float((answers[:count] == wanted.argmax(1)).mean()),
    )


def _theirs(plain: Subject, asked: Any, say: Any) -> dict[str, float]:
    import torch

    side = plain.samples.inputs[0].shape[-1]
    module = torch_graph.network(plain.path)
    rates = {"torch graph": 0.0}
    batches = [x for x in asked.batches if x in (1, 64) or x == max(asked.batches)]
    for batch in batches:
        found = torch_graph.images_per_s(module, batch, side)
        rates["torch graph"] = max(rates["torch graph"], found)
        say(network=plain.name, system="torch fp16 graph", batch=batch, images_per_s=found)
    if "compile" not in asked.without:
        compiled = torch.compile(module)
        batch = max(asked.batches)
        found = torch_graph.images_per_s(compiled, batch, side)
        rates["torch compile"] = found
        say(network=plain.name, system="torch.compile fp16 graph", batch=batch, images_per_s=found)
    return rates
