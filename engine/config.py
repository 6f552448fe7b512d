"""What a benchmark is made of: one frozen dataclass for each config group.

The YAML under conf/ holds the values, these classes their meaning: types, units and limits.
Every key that a user can set is a field here; ``engine.validation`` turns a composed config
into these objects or refuses it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.audit.config import Audit as Audit
from engine.fields import limited
from engine.network import Model as Model
from engine.network import Outputs as Outputs
from engine.network import Preprocessing as Preprocessing
from engine.submission.config import Submission as Submission
from engine.suts import CupySut as CupySut
from engine.suts import NullSut as NullSut
from engine.suts import OnnxRuntimeSut as OnnxRuntimeSut
from engine.suts import OpenVinoSut as OpenVinoSut
from engine.suts import RemoteSut as RemoteSut
from engine.suts import SimulatedSut as SimulatedSut
from engine.suts import TensorRtSut as TensorRtSut

SCENARIOS = ("single_stream", "multi_stream", "server", "offline")
MODES = ("performance", "accuracy", "both", "audit", "submit", "check", "profile", "plan")


@dataclass(frozen=True)
class Dataset:
    """Group ``dataset``: where samples and their ground truth come from.

    ``performance_sample_count``: samples that a performance run loads, null for what the rules
    say of the model. ``count``: samples in all, null for all there are; of synthetic ones, as
    many as a performance run loads. ``calibration_list``: a file with the names of the images to
    calibrate with, one a line, as the suite has it; null for those that are not evaluated.
    """

    kind: str = limited(choices=("synthetic", "imagenet", "coco", "wmt16"))
    name: str = limited()
    performance_sample_count: int | None = limited(None, at_least=1)
    count: int | None = limited(None, at_least=1)
    path: str | None = None
    calibration_list: str | None = None
    seed: int = limited(0, at_least=0)


@dataclass(frozen=True)
class Scenario:
    """Group ``scenario``: the traffic, and what a user may set of it by hand.

    Keys left null come from the rules.
    """

    name: str = limited(choices=SCENARIOS)
    target_qps: float | None = limited(None, more_than=0)
    bound_ms: float | None = limited(None, more_than=0)
    use_token_latencies: bool = False
    ttft_bound_ms: float | None = limited(None, more_than=0)
    tpot_bound_ms: float | None = limited(None, more_than=0)
    samples_per_query: int | None = limited(None, at_least=1)
    min_duration_s: float | None = limited(None, at_least=0)
    max_duration_s: float | None = limited(None, more_than=0)
    min_query_count: int | None = limited(None, at_least=1, at_most=10**9)
    sut_timeout_s: float = limited(60.0, more_than=0)
    warmup_s: float = limited(0.0, at_least=0, at_most=86_400)
    arrivals: str = limited("poisson", choices=("poisson", "constant", "burst", "trace"))
    burst_size: int = limited(1, at_least=1, at_most=10**6)
    trace: str | None = None
    interval_ms: float | None = limited(None, more_than=0)
    issue: str = limited("random", choices=("random", "unique", "same", "equal"))
    same_index: int = limited(0, at_least=0)
    traffic: str | None = limited(None, choices=("v5", "v6"))
    spin_us: float = limited(0.0, at_least=0, at_most=1e6)
    timed_preprocessing: bool = False


@dataclass(frozen=True)
class Precision:
    """Group ``precision``: the numbers that the model computes in.

    The file of an fp16 or bf16 network holds fp32 weights: the system casts them. int4 is a
    translator's: its products' weights in 4 bits, its recurrent layers as in int8.
    ``calibration_method``:
    an activation's range is that of all its values (minmax) or leaves out the outermost 0.01 % of
    them on each side (percentile); auto is percentile for GPUs, whose activations have a sign, so
    that only 7 bits are left for what a ReLU lets through, and minmax elsewhere.
    ``weight_rounding``: each weight of a convolution to the nearest step, or to one beside it so
    that their errors cancel (gptq, ``models.rounding``).
    """

    name: str = limited(choices=("fp32", "fp16", "bf16", "int8", "int4"))
    calibration_count: int = limited(64, at_least=1, at_most=100_000)
    calibration_method: str = limited("auto", choices=("auto", "minmax", "percentile"))
    weight_rounding: str = limited("nearest", choices=("nearest", "gptq"))


@dataclass(frozen=True)
class Seeds:
    """Seeds of the three random sequences of the traffic (unsigned 64-bit)."""

    qsl: int = limited(0, at_least=0, at_most=2**64 - 1)
    sample_index: int = limited(0, at_least=0, at_most=2**64 - 1)
    schedule: int = limited(0, at_least=0, at_most=2**64 - 1)


@dataclass(frozen=True)
class ScenarioRules:
    """What a rules edition asks of one scenario.

    ``percentile``: of the latency, in percent; None if the edition lacks the scenario.
    ``samples_per_query``: None where they are what is measured (streams).
    """

    percentile: float | None = limited(None, more_than=0, at_most=99.99)
    min_query_count: int = limited(1, at_least=1)
    min_sample_count: int = limited(1, at_least=1)
    samples_per_query: int | None = limited(1, at_least=1)


@dataclass(frozen=True)
class ScenarioTable:
    """What a rules edition asks of each scenario."""

    single_stream: ScenarioRules = field(default_factory=ScenarioRules)
    multi_stream: ScenarioRules = field(default_factory=ScenarioRules)
    server: ScenarioRules = field(default_factory=ScenarioRules)
    offline: ScenarioRules = field(default_factory=ScenarioRules)


@dataclass(frozen=True)
class Rules:
    """Group ``rules``: an edition's durations, counts, percentiles, bounds and quality targets.

    ``server_bounds_ms``: bound on the tail latency of the server scenario, by model.
    ``server_runs``: how many server runs must be valid; the lowest of them is the result.
    ``multi_stream_intervals_ms``: fixed time between multi-stream queries, by model; without
    any, each query follows the last one.
    ``tail_percentiles``, ``tail_query_counts``: percentile and least number of queries of the
    server and multi-stream scenarios, by model, where they are not the scenario's.
    ``traffic``: whose rule chooses the samples that are loaded, see ``loadgen.Settings``.
    ``performance_sample_counts``: samples that a performance run loads, by model.
    ``quality_ratio``: quality asked for as a share of FP32's; ``quality_ratios`` by model.
    ``published_targets``: qualities that the rules ask of trained weights on the real data, in
    percent, by model, where they are not that share.
    ``fp32_quality``: that of the reference weights on the whole data set, by model, in percent
    (translation: BLEU).
    ``confidence``: of the early-stopping test on the tail latency. ``extend``: a server run in
    which it is undecided goes on, at most for so many times its planned length.
    ``late_wakeup_ms`` and ``late_wakeup_share``: the generator's own limit: at most this share
    of the waiting takes may wake later than that, or the run is not valid.
    """

    name: str = limited()
    conformant: bool = limited()
    source: str = limited()
    min_duration_s: float = limited(at_least=0)
    max_duration_s: float | None = limited(None, more_than=0)
    early_stopping: bool = limited(True)
    confidence: float = limited(0.99, more_than=0.5, at_most=0.99999)
    extend: float = limited(1.0, at_least=1, at_most=100)
    quality_ratio: float = limited(0.99, more_than=0, at_most=1)
    quality_ratios: dict[str, float] = limited({}, more_than=0, at_most=1)
    published_targets: dict[str, float] = limited({}, more_than=0, at_most=100)
    fp32_quality: dict[str, float] = limited({}, more_than=0, at_most=100)
    late_wakeup_ms: float = limited(1.0, more_than=0)
    late_wakeup_share: float = limited(0.01, more_than=0, at_most=1)
    seeds: Seeds = field(default_factory=Seeds)
    scenarios: ScenarioTable = field(default_factory=ScenarioTable)
    traffic: str = limited("v6", choices=("v5", "v6"))
    server_runs: int = limited(1, at_least=1, at_most=100)
    server_bounds_ms: dict[str, float] = limited({}, more_than=0)
    multi_stream_intervals_ms: dict[str, float] = limited({}, more_than=0)
    tail_percentiles: dict[str, float] = limited({}, more_than=0, at_most=99.99)
    tail_query_counts: dict[str, int] = limited({}, at_least=1)
    performance_sample_counts: dict[str, int] = limited({}, at_least=1)


@dataclass(frozen=True)
class Tune:
    """Settings of the system that are searched together with the rate; null: the engine's choice.

    Every combination is a setting; ``threads`` counts for each worker.
    """

    enabled: bool = False
    workers: list[int] | None = limited(None, at_least=1, at_most=1024)
    threads: list[int] | None = limited(None, at_least=1, at_most=4096)
    max_batch: list[int] | None = limited(None, at_least=1, at_most=65536)


@dataclass(frozen=True)
class Search:
    """Group ``search``: how the highest valid load is looked for; ``none`` measures one.

    ``max_qps`` is for the server scenario, ``max_streams`` for multi_stream at intervals.

    ``tolerance``: probes end when the peak is known to this share of it. ``probe_run_lengths``:
    all probes together take no longer than so many full runs. ``confidence``: how likely the
    first confirming run should be to pass. ``resume``: an interrupted search is continued.
    """

    kind: str = limited(choices=("none", "max_qps", "max_streams"))
    tolerance: float = limited(0.008, more_than=0, at_most=0.5)
    probe_run_lengths: float = limited(0.45, more_than=0, at_most=100)
    confidence: float = limited(0.75, at_least=0.5, at_most=0.999)
    max_confirmations: int = limited(6, at_least=1, at_most=100)
    offline_duration_s: float = limited(2.0, more_than=0)
    resume: bool = True
    tune: Tune = field(default_factory=Tune)


@dataclass(frozen=True)
class Plan:
    """Group ``plan``: what ``mode=plan`` tries; the keys are explained in conf/plan."""

    target_qps: float | None = limited(None, more_than=0)
    replicas: list[int] = limited([1, 2, 4, 8], at_least=1, at_most=1000)
    max_batch: list[int] | None = limited(None, at_least=1, at_most=65536)
    max_wait_us: list[float] = limited([0.0], at_least=0, at_most=1e7)
    largest_batch: int = limited(64, at_least=1, at_most=65536)
    seconds_per_batch: float = limited(4.0, more_than=0, at_most=3600)


@dataclass(frozen=True)
class Power:
    """Group ``power``: whose counters say what energy a run takes, see docs/energy.md."""

    kind: str = limited(choices=("none", "rapl", "nvml"))
    idle_s: float = limited(3.0, at_least=0, at_most=600)
    root: str = "/sys/class/powercap"


@dataclass(frozen=True)
class Tracking:
    """Group ``tracking``: where runs are logged besides their own folder."""

    kind: str = limited(choices=("none", "mlflow"))
    uri: str | None = None
    experiment: str | None = None


@dataclass(frozen=True)
class Config:
    """One benchmark, fully described."""

    mode: str
    path: str | None
    cache_dir: str | None
    report: bool
    model: Model
    dataset: Dataset
    scenario: Scenario
    sut: OnnxRuntimeSut | OpenVinoSut | CupySut | TensorRtSut | RemoteSut | NullSut | SimulatedSut
    precision: Precision
    rules: Rules
    search: Search
    plan: Plan
    audit: Audit
    power: Power
    submission: Submission
    tracking: Tracking

    @property
    def gpus(self) -> list[int]:
        """The NVIDIA GPUs that the system runs on, by number; none for a processor's."""
        on_cpu = getattr(self.sut, "provider", None) == "cpu"
        return [] if on_cpu else getattr(self.sut, "devices", [])

    @property
    def measures_speed(self) -> bool:
        """Whether the benchmark has a performance part."""
        return self.mode in ("performance", "both", "audit", "submit")

    @property
    def measures_quality(self) -> bool:
        """Whether the benchmark has an accuracy part."""
        return self.mode in ("accuracy", "both", "submit")

    @property
    def is_audited(self) -> bool:
        """Whether the audits follow: asked for, or owed by a closed submission."""
        closed = self.submission.division == "closed"
        return self.mode == "audit" or (self.mode == "submit" and closed)
