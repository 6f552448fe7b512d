"""All the audits of one result."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable

from engine.audit.answers import answers
from engine.audit.caching import caching
from engine.audit.finding import Finding, Outcome
from engine.audit.load_generator import load_generator
from engine.audit.own_data import own_data
from engine.audit.rig import Rig
from engine.audit.seeds import seeds
from engine.build import Benchmark, Say
from engine.performance import Follow, Speed
from engine.record import Record
from engine.warm import WarmLibrary
from loadgen import RunLog, judge

RUNS: dict[str, Callable[[Rig], tuple[Finding, RunLog]]] = {
    "same_answers": answers,
    "caching": caching,
    "seeds": seeds,
    "own_data": own_data,
}


def audit(benchmark: Benchmark, record: Record, speed: Speed, follow: Follow, say: Say) -> bool:
    """Make the audits that the config names and put what they find into ``record``.

    Each leaves the official log files of its last run under ``audits/NAME`` in the record's
    folder. True if all of them passed or did not apply. Raises RunFailed if the system fails.
    """
    asked = benchmark.config.audit
    assert speed.rate_qps is not None
    entropy = secrets.randbits(64) if asked.seed is None else asked.seed
    library = WarmLibrary(benchmark.library)
    rig = Rig(benchmark, library, speed.rate_qps, entropy, follow)
    findings: list[Finding] = []
    for name in asked.tests:
        if name == "load_generator":
            found = load_generator()
        else:
            found, log = RUNS[name](rig)
            record.logs(f"audits/{name}", log, judge(log))
        findings.append(found)
        say(f"{found.audit} {found.outcome}: {found.sentence}")
        record.data["audits"] = [dataclasses.asdict(each) for each in findings]
        record.data["audit_seed"] = entropy
        record.save()
    return all(found.outcome in (Outcome.PASS, Outcome.NOT_APPLICABLE) for found in findings)
