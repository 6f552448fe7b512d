"""Post-training quantisation to 8-bit integers with ONNX Runtime's tools."""

from __future__ import annotations

import contextlib
import logging
import math
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from onnx import ModelProto
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.calibrate import CalibraterBase
from onnxruntime.quantization.shape_inference import quant_pre_process

from engine.cache import Cache
from engine.errors import ConfigError
from engine.models import int4
from engine.models.folding import fold
from engine.models.rounding import Feed, round_weights
from engine.models.saturation import unsigned, weight_ranges
from engine.system import usable_cores

BATCH = 16
KEPT_PERCENT = 99.99
COLLECTED_BYTES = 1 << 27
"""Of inputs, up to which the tensors of all batches are kept before percentiles are counted. Beyond
that each batch is counted by itself, in the first one's bins."""
SCORES = ("Gemm", "MatMul")
PRODUCTS = ("Conv", *SCORES)
ARITHMETIC = ("Add", "Mul", "Concat")
BETWEEN = (*ARITHMETIC, "Relu", "Clip", "MaxPool", "AveragePool")
LAYERS = (*PRODUCTS, *BETWEEN)
"""What is quantised. Global averages stay in floating point, and so do the outputs of matrix
products: 8 bits would tie close scores. For detectors see ``kept_in_floating_point``."""


def quantise(
    source: Path,
    target: Path,
    feeds: Sequence[Feed],
    saturating: bool,
    cache: Cache,
    percentile: bool = False,
    gptq: bool = False,
) -> None:
    """Write ``source`` (fp32) to ``target`` with 8-bit layers (QDQ).

    Weights are signed, one scale per output channel; activations unsigned, their range the
    smallest and largest values on ``feeds``: batches of the network's inputs by their names.
    ``saturating``: weights so that products add up on such processors, ``models.saturation``.
    ``percentile``: ranges hold ``KEPT_PERCENT`` of the values; batches must be of one size.
    ``gptq``: convolutions' weights are rounded so that errors cancel, ``models.rounding``.
    """
    in_parts = percentile and _bytes(feeds) > COLLECTED_BYTES
    folder = cache.folder("int8")
    try:
        # The percentile method talks to the standard output.
        with _tools(folder), redirect_stdout(StringIO()):
            folded = folder / "folded.onnx"
            quant_pre_process(str(source), str(folded), skip_symbolic_shape=True)
            whole = onnx.load(str(folded))
            fold(whole)
            kept = kept_in_floating_point(whole)
            ranges = weight_ranges(whole, kept) if saturating else {}
            if gptq:
                round_weights(whole, kept, feeds, ranges)
            onnx.save(whole, str(folded))
            with _calibrating_all_but(kept):
                quantize_static(
                    str(folded),
                    str(target),
                    _Batches(feeds),
                    quant_format=QuantFormat.QDQ,
                    op_types_to_quantize=list(LAYERS),
                    nodes_to_exclude=kept,
                    per_channel=True,
                    activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8,
                    calibrate_method=(
                        CalibrationMethod.Percentile if percentile else CalibrationMethod.MinMax
                    ),
                    extra_options={
                        "OpTypesToExcludeOutputQuantization": list(SCORES),
                        "CalibPercentile": KEPT_PERCENT,
                        "CalibStridedMinMax": 1 if in_parts else None,
                        "TensorQuantOverrides": ranges,
                    },
                )
    except (OSError, ConfigError):
        raise
    except Exception as error:  # the tools raise bare Exception for networks they cannot handle
        raise ConfigError(
            f"The network {source} cannot be quantised ({error}): use precision=fp32."
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def even_batch(count: int, sample_bytes: int) -> int:
    """Samples in each of the batches of one size that percentiles are collected of."""
    step = math.gcd(BATCH, count)
    while step > 1 and step * sample_bytes > COLLECTED_BYTES:
        step //= 2
    return step


def _bytes(feeds: Sequence[Feed]) -> int:
    return sum(array.nbytes for feed in feeds for array in feed.values())


def quantise_weights(
    source: Path, target: Path, saturating: bool, cache: Cache, four_bits: bool = False
) -> None:
    """Write ``source`` (fp32) to ``target`` with its recurrent layers in 8 bits, in loops too.

    ``saturating``: so that products add up on such processors. ``four_bits``: the weights of
    matrix products in 4. The layers quantise what they are given as it comes, so there is nothing
    to calibrate. Otherwise attention and the output layer stay in floating point: in 8 bits they
    cost a translator 7 % of its BLEU.
    """
    folder = cache.folder("int8")
    try:
        with _tools(folder):
            folded = folder / "folded.onnx"
            quant_pre_process(str(source), str(folded), skip_symbolic_shape=True)
            whole = onnx.load(str(folded))
            _weights_into_loops(whole)
            if four_bits:
                int4.lighten(whole)
            onnx.save(whole, str(folded))
            quantize_dynamic(
                str(folded),
                str(target),
                op_types_to_quantize=["LSTM"],
                per_channel=True,
                weight_type=QuantType.QInt8,
                extra_options={"EnableSubgraph": True},
            )
            if saturating:
                light = onnx.load(str(target))
                unsigned(light)
                onnx.save(light, str(target), format="protobuf")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _weights_into_loops(model: ModelProto) -> None:
    """The tools find a layer's weights only in the graph that the layer itself is in."""
    graph = model.graph
    outside = {name for node in graph.node for name in node.input}
    weights = {t.name: t for t in graph.initializer if t.name not in outside}
    for body in (a.g for node in graph.node for a in node.attribute if a.HasField("g")):
        for name in {name for node in body.node for name in node.input} & weights.keys():
            body.initializer.append(weights[name])
            graph.initializer.remove(weights[name])


def kept_in_floating_point(model: ModelProto) -> list[str]:
    """Names of the layers that answer, and of all in ``LAYERS`` that post-processes the answers.

    Coordinates do not fit into 8 bits, and neither do answers that are computed with further: a
    detector's. A network that ends in its layers, or in their activations, has no such nodes.
    """
    needed: set[str] = set()
    last, after = [], []
    for node in reversed(model.graph.node):
        followed = bool(needed.intersection(node.output))
        if node.op_type in PRODUCTS or followed:
            needed.update(node.input)
        if not followed and node.op_type == "Conv":
            last.append(node)
        elif not followed and node.op_type in BETWEEN:
            after.append(node)
    computes = any(node.op_type in ARITHMETIC for node in after)
    return [node.name for node in (*last, *after) if node.name] if computes else []


class _Batches(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._all, self._left = feeds, iter(feeds)

    def __len__(self) -> int:
        return len(self._all)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._left = iter(self._all[start_index:end_index])

    def get_next(self) -> Feed | None:
        return next(self._left, None)


@contextlib.contextmanager
def _tools(folder: Path) -> Iterator[None]:
    """What the tools do to a process that calls them, kept within bounds."""
    with _temporary_files_in(folder), _quiet_root_logger(), _on_own_cores():
        yield


def _temporary_files_in(folder: Path) -> AbstractContextManager[None]:
    """The tools keep whole networks in temporary files: those belong beside the cache."""
    return _replaced(tempfile, "tempdir", str(folder))


def _calibrating_all_but(kept: Sequence[str]) -> AbstractContextManager[None]:
    """The tools collect the values of what they are told to exclude, too.

    A detector's boxes are exponentials, which may be infinite: no histogram holds those.
    """
    plain = CalibraterBase.select_tensors_to_calibrate

    def selected(self: CalibraterBase, model: ModelProto) -> tuple[set[str], dict[str, Any]]:
        found, infos = plain(self, model)
        nodes = [n for n in model.graph.node if n.op_type in LAYERS and n.name not in kept]
        return found & {name for n in nodes for name in (*n.input, *n.output)}, infos

    return _replaced(CalibraterBase, "select_tensors_to_calibrate", selected)


def _on_own_cores() -> AbstractContextManager[None]:
    """The tools' sessions pin their threads to all cores, whatever this process may use."""
    plain = onnxruntime.SessionOptions

    def options() -> onnxruntime.SessionOptions:
        found = plain()
        found.intra_op_num_threads = usable_cores()
        return found

    return _replaced(onnxruntime, "SessionOptions", options)


@contextlib.contextmanager
def _replaced(owner: Any, name: str, other: Any) -> Iterator[None]:
    """``owner`` has ``other`` in the place of its attribute."""
    before = getattr(owner, name)
    setattr(owner, name, other)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextlib.contextmanager
def _quiet_root_logger() -> Iterator[None]:
    """Hold back the tools' messages, and the handler that ``logging.warning`` would install."""
    root = logging.getLogger()
    silent = logging.NullHandler()
    root.addHandler(silent)
    root.addFilter(_not_from_the_tools)
    try:
        yield
    finally:
        root.removeFilter(_not_from_the_tools)
        root.removeHandler(silent)


def _not_from_the_tools(record: logging.LogRecord) -> bool:
    return "onnxruntime" not in record.pathname
