"""Several models at once, each with its own traffic (multitenancy: paper, IV-B)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from loadgen._traffic import loaded_sets
from loadgen.log import RunLog
from loadgen.progress import Progress
from loadgen.runner import Job, run_jobs
from loadgen.samples import SampleLibrary
from loadgen.settings import Mode, Settings
from loadgen.sut import SimulatedSystem, SystemUnderTest
from loadgen.verdict import Verdict, judge

# Called with a tenant's name; returns True to end the run of all.
TenantWatch = Callable[[str, Progress], bool | None]


@dataclass(frozen=True)
class Tenant:
    """One of several models that are served side by side, and what it is asked."""

    name: str
    settings: Settings
    library: SampleLibrary
    sut: SystemUnderTest | SimulatedSystem


@dataclass(frozen=True)
class JointVerdict:
    """``verdicts`` by tenant; ``valid`` if each of them is."""

    valid: bool
    verdicts: dict[str, Verdict]


def run_tenants(tenants: Sequence[Tenant], watch: TenantWatch | None = None) -> dict[str, RunLog]:
    """Drive all tenants from one instant on, each with its own traffic; their logs by name.

    Each ends when its own queries are answered; give them like durations if they are to burden
    each other throughout. Where one fails, falls silent or is ended by ``watch``, its log says
    so, and those that still run are STOPPED; on Ctrl-C they are INTERRUPTED. Warm-ups run before
    the common start. Raises ValueError for tenants that contradict each other, and what a
    library raises before the start.
    """
    for wrong, problem in _checks(tenants):
        if wrong:
            raise ValueError(problem)
    logs = run_jobs([_job(tenant, watch) for tenant in tenants])
    return {tenant.name: log for tenant, log in zip(tenants, logs, strict=True)}


def judge_tenants(logs: Mapping[str, RunLog]) -> JointVerdict:
    """Each tenant's verdict under its own settings, and whether all are valid."""
    verdicts = {name: judge(log) for name, log in logs.items()}
    return JointVerdict(all(verdict.valid for verdict in verdicts.values()), verdicts)


def _job(tenant: Tenant, watch: TenantWatch | None) -> Job:
    library = tenant.library
    (indices,) = loaded_sets(tenant.settings, library.total_count, library.performance_count)
    own_watch = partial(watch, tenant.name) if watch else None
    return Job(tenant.settings, indices, library, tenant.sut, own_watch)


def _checks(tenants: Sequence[Tenant]) -> Iterator[tuple[bool, str]]:
    yield not tenants, "there is no tenant to run"
    seen: dict[str, Tenant] = {}
    for tenant in tenants:
        name = repr(tenant.name)
        yield tenant.name in seen, f"tenant {name}: two tenants have this name; give each its own"
        accuracy = tenant.settings.mode is not Mode.PERFORMANCE
        yield accuracy, f"tenant {name}: tenants have performance runs only; run accuracy alone"
        for other in seen.values():
            shared = other.sut is tenant.sut
            yield shared, f"tenants {other.name!r} and {name} share a system; give each its own"
            mixed = _virtual(other) is not _virtual(tenant)
            yield mixed, f"tenants {other.name!r} and {name}: only one is simulated; make both so"
        seen[tenant.name] = tenant


def _virtual(tenant: Tenant) -> bool:
    return isinstance(tenant.sut, SimulatedSystem)
