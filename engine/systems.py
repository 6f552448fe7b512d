"""Every system under test, started from its config."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.config import (
    Config,
    CupySut,
    NullSut,
    OnnxRuntimeSut,
    OpenVinoSut,
    RemoteSut,
    SimulatedSut,
    TensorRtSut,
)
from engine.errors import ConfigError, SutError
from engine.paths import cache_dir
from engine.system import usable_cores
from loadgen import SimulatedSystem, SystemUnderTest

if TYPE_CHECKING:
    from engine.models import Artefact

System = SystemUnderTest | SimulatedSystem

PRECISIONS = {
    "onnxruntime": ("fp32", "int8", "int4"),
    "openvino": ("fp32", "bf16", "fp16", "int8"),
    "cupy": ("fp16", "bf16", "int8"),
    "tensorrt": ("fp16", "int8"),
    "remote": ("fp32", "fp16", "bf16", "int8", "int4"),
}
"""What each system computes in; a remote one is believed."""

CUDA_PRECISIONS = ("fp32", "fp16")
"""What ONNX Runtime computes in on a GPU, where it has no 8-bit convolutions."""

GPU_BATCH, GPU_SIDE = 256, 224
"""Largest batch that a GPU is timed with, of images with such sides."""


def without_network(config: Config) -> System | None:
    """The system, if it is one that runs no network."""
    own = config.sut
    if not isinstance(own, NullSut | SimulatedSut):
        return None
    if config.measures_quality or config.is_audited:
        raise ConfigError(
            f"mode={config.mode} needs a system that runs a network; sut={own.name} has no "
            "answers to judge: use mode=performance, or another sut."
        )
    return _simulated(own) if isinstance(own, SimulatedSut) else _null(own)


def check(config: Config) -> None:
    """Refuse what the system cannot do, before a network is built for it.

    Raises ConfigError for a precision, SutError for a device or a library that is missing.
    """
    own = config.sut
    on_cuda = isinstance(own, OnnxRuntimeSut) and own.provider == "cuda"
    able = CUDA_PRECISIONS if on_cuda else PRECISIONS[own.kind]
    if config.precision.name not in able:
        where = " with sut.provider=cuda" if on_cuda else ""
        raise ConfigError(
            f"sut={own.name}{where} does not compute in precision={config.precision.name}: use "
            f"precision={' or precision='.join(able)}, or another sut."
        )
    if isinstance(own, OpenVinoSut):
        from sut.openvino import computes_in

        if not computes_in(config.precision.name):
            raise ConfigError(
                f"This processor has no {config.precision.name} arithmetic: OpenVINO would compute "
                "in fp32 and nobody would see it. Use precision=fp32 or precision=int8."
            )
    if not config.gpus:
        return
    translates = {"cupy": "fp16", "onnxruntime": "fp32"}.get(own.kind)
    if config.model.task == "translation" and config.precision.name != translates:
        raise ConfigError(
            f"sut={own.name} runs no translation in precision={config.precision.name}: on a GPU "
            "use sut=cupy precision=fp16, or sut=onnxruntime sut.provider=cuda precision=fp32."
        )
    if isinstance(own, TensorRtSut):
        from sut.tensorrt.sut import modules
    elif isinstance(own, CupySut):
        from sut.cupy.needs import modules
    else:
        from sut.onnxruntime_cuda import modules
    try:
        modules(config.gpus)
    except RuntimeError as error:
        raise SutError(str(error)) from error


def start(
    config: Config, artefact: Artefact, say: Callable[[str], None] = lambda message: None
) -> System:
    """The system with its network loaded, which tells ``say`` what takes minutes later on.

    Raises SutError if it cannot start.
    """
    own = config.sut
    try:
        if isinstance(own, RemoteSut):
            return _remote(own, artefact)
        if isinstance(own, CupySut | TensorRtSut):
            return _with_streams(config, own, artefact, cache_dir(config.cache_dir), say)
        assert isinstance(own, OnnxRuntimeSut | OpenVinoSut)
        if isinstance(own, OnnxRuntimeSut) and own.provider == "cuda":
            return _onnxruntime_cuda(config, own, artefact)
        return _processor(own, artefact)
    except ModuleNotFoundError as error:
        raise ConfigError(f"sut={own.name}: {error}") from error
    except RuntimeError as error:
        raise SutError(str(error)) from error


def restarted(config: Config, artefact: Artefact | None) -> System:
    """The system of a config, with a network that was prepared before."""
    if (alone := without_network(config)) is not None:
        return alone
    assert artefact is not None
    return start(config, artefact)


def gpu_batch(config: Config) -> int:
    """The largest batch that a GPU is timed with: a power of two, fewer of larger images."""
    pixels = max(GPU_SIDE, config.model.size or config.model.preprocessing.size) ** 2
    return 1 << (max(1, GPU_BATCH * GPU_SIDE**2 // pixels).bit_length() - 1)


def _processor(own: OnnxRuntimeSut | OpenVinoSut, artefact: Artefact) -> System:
    file = (artefact.path, artefact.output.name)
    shared: dict[str, Any] = {
        "name": own.name,
        "workers": own.workers,
        "threads": own.threads or max(1, usable_cores() // own.workers),
        "max_batch": own.max_batch or 1,
        "max_wait_us": own.max_wait_us,
    }
    if isinstance(own, OpenVinoSut):
        from sut import openvino

        return openvino.OpenVinoSut(*file, **shared, precision=artefact.precision)
    from sut import onnxruntime

    level = own.graph_optimization
    return onnxruntime.OnnxRuntimeSut(*file, **shared, graph_optimization=level)


def _onnxruntime_cuda(config: Config, own: OnnxRuntimeSut, artefact: Artefact) -> System:
    from sut.onnxruntime_cuda import OnnxRuntimeCudaSut

    return OnnxRuntimeCudaSut(
        artefact.path,
        artefact.output.name,
        name=own.name,
        devices=own.devices,
        workers=own.workers,
        max_batch=own.max_batch or gpu_batch(config),
        max_wait_us=own.max_wait_us,
        start_from_device=own.start_from_device,
        half=artefact.precision == "fp16",
        graph_optimization=own.graph_optimization,
    )


def _with_streams(
    config: Config,
    own: CupySut | TensorRtSut,
    artefact: Artefact,
    cache: Path,
    say: Callable[[str], None],
) -> System:
    file = (artefact.path, artefact.output.name)
    shared: dict[str, Any] = {
        "name": own.name,
        "devices": own.devices,
        "streams": own.streams or _streams(config, own),
        "max_batch": own.max_batch or gpu_batch(config),
        "max_wait_us": own.max_wait_us,
        "start_from_device": own.start_from_device,
    }
    if isinstance(own, CupySut):
        from sut import cupy

        plans = cache / "cupy_plans.json"
        return cupy.CupySut(*file, **shared, precision=artefact.precision, plans=plans, say=say)
    from sut import tensorrt

    quantised = artefact.precision == "int8"
    return tensorrt.TensorRtSut(*file, **shared, quantised=quantised, engines=cache / "tensorrt")


def _streams(config: Config, own: CupySut | TensorRtSut) -> int:
    """Workers on each GPU: two whose batches overlap, and one whose images copy engines bring."""
    if config.scenario.name != "offline":
        return 1
    images = config.model.task != "translation"
    return 3 if isinstance(own, CupySut) and images and not own.start_from_device else 2


def _remote(own: RemoteSut, artefact: Artefact) -> System:
    from sut import remote

    if own.url is None:
        raise ConfigError("sut=remote needs a server: set sut.url=http://HOST:PORT.")
    headers = {}
    if own.token_variable is not None:
        token = os.environ.get(own.token_variable)
        if token is None:
            raise ConfigError(
                f"sut.token_variable={own.token_variable}: there is no such environment variable."
            )
        headers["Authorization"] = f"Bearer {token}"
    return remote.RemoteSut(
        own.url,
        own.model or artefact.name,
        [(spec.name, spec.dtype, spec.shape) for spec in artefact.inputs],
        artefact.output.name,
        name=own.name,
        version=own.version,
        workers=own.workers,
        max_batch=own.max_batch or 1,
        max_wait_us=own.max_wait_us,
        timeout_s=own.timeout_s,
        binary=own.binary,
        headers=headers,
    )


def _null(own: NullSut) -> System:
    from sut.null import NullSut as Sut

    return Sut(
        name=own.name,
        workers=own.workers,
        max_batch=own.max_batch or 1,
        delay_us=own.delay_us,
        answer_tokens=own.answer_tokens,
    )


def _simulated(own: SimulatedSut) -> System:
    from sut import simulated
    from sut.curve import ServiceCurve

    try:
        if own.profile is not None:
            curve = ServiceCurve.read(Path(own.profile).expanduser())
        else:
            curve = ServiceCurve(tuple(own.batch), tuple(own.service_ms))
        token_curve = None
        if own.answer_tokens is not None:
            token_curve = ServiceCurve(tuple(own.batch), tuple(own.token_ms))
    except OSError as error:
        raise ConfigError(f"sut.profile={own.profile}: {error.strerror or error}.") from error
    except ValueError as error:
        raise ConfigError(f"sut=simulated: {error}.") from error
    names = [field.name for field in fields(simulated.Fortune)]
    return simulated.SimulatedSut(
        curve,
        name=own.name,
        workers=own.workers,
        max_batch=own.max_batch,
        max_wait_us=own.max_wait_us,
        network_ms=own.network_ms,
        fortune=simulated.Fortune(**{name: getattr(own, name) for name in names}),
        answer_tokens=own.answer_tokens,
        token_curve=token_curve,
    )
