"""Of several runs that the rules want, the worst is the result."""

import pytest

from engine.repeats import Repeats
from loadgen import judge, run


@pytest.fixture
def made(settings, library, scripted_sut):
    """``made(bound_ms)`` is a short server run and its verdict."""

    def make(bound_ms=500.0, **changes):
        log = run(settings(bound_ms=bound_ms, **changes), library, scripted_sut())
        return log, judge(log)

    return make


def test_a_single_run_is_left_as_it_is(made):
    repeats, one = Repeats(1), made()
    repeats.add(*one)
    assert repeats.complete and not repeats.open
    assert repeats.worst == one


def test_all_must_be_valid(made):
    repeats = Repeats(3)
    for _ in range(3):
        assert repeats.open
        repeats.add(*made())
    assert repeats.complete and not repeats.open
    _, verdict = repeats.worst
    assert verdict.valid
    assert verdict.constraints[-1].name == "server_runs"
    assert verdict.constraints[-1].measured == "3 valid of 3"
    slowest = max(figures["tail_ms"] for figures in repeats.figures)
    assert verdict.statistics.latency_ms["p99"] == slowest


def test_an_invalid_run_is_the_result_and_ends_them(made):
    repeats = Repeats(3)
    repeats.add(*made())
    repeats.add(made()[0], made(bound_ms=1e-6)[1])
    assert not repeats.open and not repeats.complete
    _, verdict = repeats.worst
    assert not verdict.valid
    assert [row.name for row in verdict.missed][-1] == "server_runs"


def test_another_rate_starts_anew(made):
    repeats = Repeats(2)
    repeats.add(*made(target_qps=1000.0))
    repeats.add(*made(target_qps=900.0))
    assert len(repeats.runs) == 1 and repeats.open


def test_the_papers_five_runs_of_the_heavy_detector_from_the_command_line(engine):
    ended = engine(
        "rules=v0_5",
        "model=ssd_resnet34",
        "scenario=server",
        "sut=simulated",
        "sut.service_ms=[0.5]",
        "sut.spread=0.2",
        "search=none",
        "scenario.target_qps=1000",
        quickly=("tracking=none", "report=false"),
    )
    assert ended.code == 0, ended.out + ended.err
    performance = ended.record["performance"]
    assert len(performance["runs"]) == 5
    for made in performance["runs"]:
        assert made["valid"] and made["query_count"] >= 270_336 and made["duration_s"] >= 60
    assert performance["statistics"]["latency_ms"]["p99"] == max(
        made["tail_ms"] for made in performance["runs"]
    )
    assert "5 valid of 5" in ended.out
    (v0_5, *_) = ended.record["editions"]
    assert [row["name"] for row in v0_5["missed"]] == ["quality"]


def test_a_search_confirms_with_as_many_runs(engine):
    ended = engine(
        "rules=v4_0",
        "model=resnet50",
        "sut=simulated",
        "rules.server_runs=3",
        "scenario.min_duration_s=60",
        quickly=("tracking=none", "report=false"),
    )
    assert ended.code == 0, ended.out + ended.err
    record = ended.record
    at_best = [
        probe
        for probe in record["search"]["probes"]
        if probe["kind"] == "confirm" and probe["rate_qps"] == record["search"]["best_qps"]
    ]
    assert [probe["outcome"] for probe in at_best] == ["PASS"] * 3
    assert record["performance"]["settings"]["target_qps"] == record["search"]["best_qps"]
    assert len(record["performance"]["runs"]) == 3
