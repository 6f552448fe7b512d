"""The log files beside those of the official LoadGen for the same settings."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from loadgen import Issue, Mode, Scenario, Settings, judge, run
from loadgen.official import write_logs

GOLDEN = json.loads((Path(__file__).parents[1] / "data/official/logs.json").read_text())
TOKENS = json.loads((Path(__file__).parents[1] / "data/official/tokens.json").read_text())
CASES = GOLDEN["cases"] | TOKENS["cases"]
# Counters of the official logger's own queue and of a callback that we have not.
NOT_OURS = re.compile(r"logger_.*|get_sut_name_duration_ns|.*generic_message")
# What only our runs have to say.
ONLY_OURS = {"tailbound_settings", "tailbound_wake_late_us"}


def settings_of(case):
    kinds = {"scenario": Scenario, "mode": Mode, "issue": Issue}
    values = {name: kinds.get(name, lambda v: v)(v) for name, v in case["settings"].items()}
    return Settings(**values, late_ms=500.0)


def speak(batch):
    batch.first_token((3 * batch.indices).astype(np.int32))
    batch.complete(batch.indices.astype(np.int64), tokens=2 + batch.indices % 5)


@pytest.fixture(scope="module")
def written(tmp_path_factory, request):
    """The folder with our logs of a case, each case run once."""
    done = {}

    def folder_of(name, library_of, scripted_sut):
        if name not in done:
            settings = settings_of(CASES[name])
            counts = {key: GOLDEN[key] for key in ("total_count", "performance_count")}
            batch = 10_000 if settings.scenario is Scenario.OFFLINE else settings.samples_per_query
            sut = scripted_sut(max_batch=batch)
            if settings.use_token_latencies:
                sut.answer = speak
            log = run(settings, library_of(**counts), sut)
            names = {"sut_name": "PySUT", "library_name": "PyQSL"}
            done[name] = tmp_path_factory.mktemp(name)
            write_logs(done[name], log, judge(log), **names, **counts)
        return done[name]

    return folder_of


@pytest.fixture
def logs(written, library_of, scripted_sut):
    return lambda name: written(name, library_of, scripted_sut)


def facts(folder):
    """Key -> values, in the order of the detail log."""
    found = {}
    for line in (folder / "mlperf_log_detail.txt").read_text().splitlines():
        fact = json.loads(line.removeprefix(":::MLLOG "))
        found.setdefault(fact["key"], []).append(fact["value"])
    return found


def kind(value):
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, int | float) else type(value).__name__


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "types" in case])
def test_keys_and_types_are_the_official_ones_in_their_order(name, logs):
    ours = {key: kind(values[0]) for key, values in facts(logs(name)).items()}
    theirs = {k: v for k, v in CASES[name]["types"].items() if not NOT_OURS.fullmatch(k)}
    ours = {k: v for k, v in ours.items() if k not in ONLY_OURS and not NOT_OURS.fullmatch(k)}
    # Whether a run is valid, and so has no such reason, is not what is compared here.
    ours.pop("result_invalid_reason", None)
    theirs.pop("result_invalid_reason", None)
    assert list(ours.items()) == list(theirs.items())


@pytest.mark.parametrize("name", CASES)
def test_what_follows_from_the_settings_has_the_official_value(name, logs):
    ours = facts(logs(name))
    assert len(CASES[name]["values"]) > 40
    for key, values in CASES[name]["values"].items():
        assert (
            ours[key] == pytest.approx(values, rel=1e-5)
            if rounded(values)
            else (ours[key] == values)
        ), key


def rounded(values):
    """The official log prints six digits of a fraction."""
    return any(isinstance(value, float) for value in values)


@pytest.mark.parametrize("name", CASES)
def test_the_accuracy_log_is_the_official_one(name, logs):
    assert (logs(name) / "mlperf_log_accuracy.json").read_text() == CASES[name]["accuracy"]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "labels" in case])
def test_the_summary_has_the_official_labels_in_their_order(name, logs):
    lines = iter((logs(name) / "mlperf_log_summary.txt").read_text().splitlines())
    assert CASES[name]["labels"]
    for label in CASES[name]["labels"]:
        assert any(line.startswith(label) for line in lines), label


def test_times_in_ns_are_whole_numbers(logs):
    for name in ("server", "offline", "single_stream", "multi_stream"):
        times = {k: v[0] for k, v in facts(logs(name)).items() if k.endswith("_ns")}
        assert len(times) > 8
        assert all(type(value) is int for value in times.values()), times


def test_the_golden_accuracy_logs_are_not_empty():
    logged = [len(json.loads(case["accuracy"])) for case in CASES.values()]
    assert np.count_nonzero(logged) == 6 + 4
