"""The results of the log format, against those the official LoadGen gave for the same times."""

import json
from pathlib import Path

import numpy as np
import pytest

from loadgen import Ending, RunLog, Scenario, Settings, judge
from loadgen.official import write_logs
from loadgen.takes import Takes

RECORDED = Path(__file__).parents[1] / "data/official"
CASES = {
    **json.loads((RECORDED / "timed.json").read_text())["cases"],
    **json.loads((RECORDED / "tokens.json").read_text())["timed"],
    **json.loads((RECORDED / "tokens_multi.json").read_text())["timed"],
}


def log_of(case):
    settings = Settings(**{**case["settings"], "scenario": Scenario(case["settings"]["scenario"])})
    scheduled = np.array(case["scheduled_ns"], np.int64)
    completed = np.array(case["completed_ns"], np.int64)
    first = np.arange(len(scheduled)) * settings.samples_per_query
    taken = np.array(case.get("taken_ns", scheduled)[: len(first)], np.int64)
    tokens = {}
    if settings.use_token_latencies:
        tokens["first_token_ns"] = np.array(case["first_token_ns"], np.int64)
        tokens["token_count"] = np.array(case["token_count"], np.int32)
    return RunLog(
        settings=settings,
        ending=Ending.COMPLETE,
        started_at="2026-11-23T17:28:44.123+00:00",
        scheduled_ns=scheduled,
        first_sample=first,
        takes=Takes.of(len(completed), first, taken, np.full(len(first), -1)),
        answers=completed,
        sample_index=np.zeros(len(completed), np.int32),
        responses=None,
        repeated=0,
        unknown=0,
        after_end=0,
        error=None,
        **tokens,
    )


@pytest.mark.parametrize("name", CASES)
def test_results_are_the_official_ones_for_the_same_times(name, tmp_path):
    case = CASES[name]
    log = log_of(case)
    names = {"sut_name": "s", "library_name": "q", "total_count": 50, "performance_count": 16}
    write_logs(tmp_path, log, judge(log), **names)
    lines = (tmp_path / "mlperf_log_detail.txt").read_text().splitlines()
    facts = [json.loads(line.removeprefix(":::MLLOG ")) for line in lines]
    ours = {fact["key"]: fact["value"] for fact in facts}
    assert len(case["results"]) > 12
    for key, value in case["results"].items():
        if isinstance(value, float):
            # Six digits are printed; the trace starts some 30 µs after the official clock.
            assert ours[key] == pytest.approx(value, rel=3e-4), key
        else:
            assert (ours[key], type(ours[key])) == (value, type(value)), key
