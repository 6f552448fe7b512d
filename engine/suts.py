"""Group ``sut``: what can be set of each system under test."""

from __future__ import annotations

from dataclasses import dataclass

from engine.fields import limited

PROCESSORS = ("onnxruntime", "openvino")
"""The kinds of systems that compute on this machine's processor."""


@dataclass(frozen=True)
class OnnxRuntimeSut:
    """Group ``sut``: ONNX Runtime on this machine's processor, or on NVIDIA GPUs.

    ``provider``: cpu, or cuda with ``workers`` on each of ``devices`` (GPUs by number);
    ``start_from_device``: then samples lie on the device before the run starts.
    ``threads``: intra-op threads of each worker, null for an equal share of the usable cores.
    ``max_batch``: null for what the engine measures to be best inside the bound.
    ``max_wait_us``: how long a batch that is not full may wait for more queries.
    """

    kind: str = limited(choices=("onnxruntime",))
    name: str = limited()
    provider: str = limited("cpu", choices=("cpu", "cuda"))
    devices: list[int] = limited([0], at_least=0, at_most=1023)
    start_from_device: bool = True
    workers: int = limited(1, at_least=1, at_most=1024)
    threads: int | None = limited(None, at_least=1, at_most=4096)
    max_batch: int | None = limited(None, at_least=1, at_most=65536)
    max_wait_us: float = limited(0.0, at_least=0, at_most=1e7)
    graph_optimization: str = limited("all", choices=("none", "basic", "extended", "all"))


@dataclass(frozen=True)
class WithStreams:
    """What the systems on NVIDIA GPUs have in common, each GPU with ``streams`` workers.

    ``streams``: null for 2 in the offline scenario, whose batches overlap (3 for images that
    sut=cupy brings from the host's memory), and 1 elsewhere, where each batch is to end as soon as
    it can.
    ``devices``: GPUs by number. ``max_batch``: null for what the engine measures to be best inside
    the bound. ``start_from_device``: samples lie on the device before the run starts.
    """

    devices: list[int] = limited([0], at_least=0, at_most=1023)
    streams: int | None = limited(None, at_least=1, at_most=64)
    max_batch: int | None = limited(None, at_least=1, at_most=4096)
    max_wait_us: float = limited(0.0, at_least=0, at_most=1e7)
    start_from_device: bool = True


@dataclass(frozen=True)
class CupySut(WithStreams):
    """Group ``sut``: NVIDIA GPUs through CuPy and cuDNN."""

    kind: str = limited(choices=("cupy",))
    name: str = limited()


@dataclass(frozen=True)
class TensorRtSut(WithStreams):
    """Group ``sut``: NVIDIA GPUs through TensorRT."""

    kind: str = limited(choices=("tensorrt",))
    name: str = limited()


@dataclass(frozen=True)
class OpenVinoSut:
    """Group ``sut``: OpenVINO on this machine's processor; the keys are ONNX Runtime's."""

    kind: str = limited(choices=("openvino",))
    name: str = limited()
    workers: int = limited(1, at_least=1, at_most=1024)
    threads: int | None = limited(None, at_least=1, at_most=4096)
    max_batch: int | None = limited(None, at_least=1, at_most=65536)
    max_wait_us: float = limited(0.0, at_least=0, at_most=1e7)


@dataclass(frozen=True)
class RemoteSut:
    """Group ``sut``: a model behind the Open Inference Protocol over HTTP.

    ``url``: of the server. ``model``, ``version``: as the server calls them, null for the model's
    own name and the server's default. ``workers``: requests at once. ``timeout_s``: of one
    request. ``binary``: tensors as bytes, null where the server says that it takes them.
    ``token_variable``: the environment variable that holds a bearer token.
    """

    kind: str = limited(choices=("remote",))
    name: str = limited()
    url: str | None = None
    model: str | None = None
    version: str | None = None
    workers: int = limited(4, at_least=1, at_most=1024)
    max_batch: int | None = limited(None, at_least=1, at_most=65536)
    max_wait_us: float = limited(0.0, at_least=0, at_most=1e7)
    timeout_s: float = limited(60.0, more_than=0)
    binary: bool | None = None
    token_variable: str | None = None


@dataclass(frozen=True)
class NullSut:
    """Group ``sut``: answers at once, or after ``delay_us``: the generator's own limit."""

    kind: str = limited(choices=("null",))
    name: str = limited()
    workers: int = limited(1, at_least=1, at_most=1024)
    max_batch: int = limited(1, at_least=1, at_most=10_000_000)
    delay_us: float = limited(0.0, at_least=0, at_most=6e7)
    answer_tokens: list[int] | None = limited(None, at_least=2, at_most=10**6)


@dataclass(frozen=True)
class SimulatedSut:
    """Group ``sut``, kind ``simulated``; the keys are those of ``sut.simulated``."""

    kind: str = limited(choices=("simulated",))
    name: str = limited()
    workers: int = limited(1, at_least=1, at_most=1_000_000)
    max_batch: int = limited(1, at_least=1, at_most=100_000)
    max_wait_us: float = limited(0.0, at_least=0, at_most=6e7)
    batch: list[int] = limited([1], at_least=1)
    service_ms: list[float] = limited([1.0], more_than=0)
    profile: str | None = None
    answer_tokens: list[int] | None = limited(None, at_least=2, at_most=10**6)
    token_ms: list[float] = limited([10.0], more_than=0)
    network_ms: float = limited(0.0, at_least=0, at_most=6e5)
    spread: float = limited(0.0, at_least=0, at_most=3)
    stall_share: float = limited(0.0, at_least=0, at_most=1)
    stall_ms: float = limited(0.0, at_least=0, at_most=6e6)
    fail_share: float = limited(0.0, at_least=0, at_most=1)
    lose_share: float = limited(0.0, at_least=0, at_most=1)
    drift: float = limited(0.0, at_least=0, at_most=0.9)
    drift_period_s: float = limited(60.0, more_than=0)
    seed: int = limited(0, at_least=0)
