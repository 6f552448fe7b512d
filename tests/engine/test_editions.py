"""A result says which edition of the rules it meets, and what it misses of the others."""

import dataclasses

import pytest

from engine.editions import judged, shipped_editions
from engine.record import run_section
from evaluators.quality import Quality
from loadgen import judge, run
from sut.curve import ServiceCurve
from sut.simulated import SimulatedSut

EDITIONS = {rules.name: rules for rules in shipped_editions()}
QUALITY = {
    "quality": dataclasses.asdict(Quality("top1_percent", "top-1", 75.8, "%", 1024, {}, "")),
    "target": {"reference": 76.456},
    "synthetic": False,
}


@pytest.fixture
def result(configured, library_of):
    """``result(rules, model, scenario, *overrides)``: config, log and record of a simulated run."""
    from engine.plan import full_settings, run_count

    def make(rules, model, scenario, *overrides, rate=None, accuracy=QUALITY):
        config = configured(
            f"rules={rules}", f"model.name={model}", f"scenario={scenario}", *overrides
        )
        system = SimulatedSut(ServiceCurve((1,), (2.0,)))
        log = run(full_settings(config, rate), library_of(4096, 2048), system)
        section = run_section(log, judge(log))
        section["runs"] = [{"valid": section["valid"]}] * run_count(config)
        data = {
            "performance": section,
            "dataset": {"performance_sample_count": 2048},
            "accuracy": accuracy,
        }
        return config, log, data

    return make


def missed(edition, result):
    found = judged(EDITIONS[edition], *result)
    assert found["edition"] == edition
    assert found["met"] == (not found["missed"])
    return [row["name"] for row in found["missed"]]


def test_a_run_under_an_edition_meets_it_and_not_the_seeds_of_the_others(result):
    run_of_v0_5 = result("v0_5", "resnet50", "server", rate=100.0)
    assert missed("v0_5", run_of_v0_5) == []
    seeds = ["qsl_seed", "sample_index_seed", "schedule_seed"]
    assert missed("v1_0", run_of_v0_5) == seeds
    assert missed("v4_0", run_of_v0_5) == seeds


def test_an_editions_own_bound_and_counts_are_asked(result):
    short = result("v4_0", "resnet50", "server", "scenario.min_duration_s=20", rate=100.0)
    seeds = {"qsl_seed", "sample_index_seed", "schedule_seed"}
    assert set(missed("v0_5", short)) - seeds == {"min_duration", "min_queries", "server_runs"}
    assert missed("v4_0", short) == ["min_duration"]
    slow = result("v4_0", "resnet50", "server", "scenario.bound_ms=1000", rate=450.0)
    assert missed("v4_0", slow) == ["p99_latency", "early_stopping"]


def test_translation_is_judged_at_its_97th_percentile(result):
    gnmt = result("v0_5", "gnmt", "server", rate=300.0)
    assert gnmt[1].settings.percentile == 97
    assert missed("v0_5", gnmt) == ["loaded_samples"]
    found = judged(EDITIONS["v4_0"], *gnmt)
    assert found["missed"][0]["name"] == "model"


def test_multi_stream_of_one_edition_is_not_that_of_another(result):
    streams = result(
        "v0_5", "resnet50", "multi_stream", "scenario.samples_per_query=4", "scenario.traffic=v6"
    )
    assert missed("v0_5", streams) == ["traffic"]
    assert {"interval_ms", "samples_per_query"} <= set(missed("v4_0", streams))


def test_single_stream_and_offline_have_no_bound(result):
    assert missed("v0_5", result("v0_5", "mobilenet", "single_stream")) == []
    assert missed("v0_5", result("v0_5", "mobilenet", "offline", rate=500.0)) == []


def test_quality_belongs_to_an_edition(result):
    unknown = result("v4_0", "resnet50", "single_stream", accuracy=None)
    assert missed("v4_0", unknown) == ["quality"]
    low = {**QUALITY, "quality": QUALITY["quality"] | {"value": 75.0}}
    assert missed("v4_0", result("v4_0", "resnet50", "single_stream", accuracy=low)) == ["quality"]
    nothing = {**QUALITY, "target": QUALITY["target"] | {"reference": 0.0}}
    wrong = result("v4_0", "resnet50", "single_stream", accuracy=nothing)
    assert missed("v4_0", wrong) == ["quality"]


def test_too_few_loaded_samples_are_said(result):
    config, log, data = result("v4_0", "resnet50", "single_stream")
    data = {**data, "dataset": {"performance_sample_count": 8}}
    (row,) = judged(EDITIONS["v4_0"], config, log, data)["missed"]
    assert (row["name"], row["required"], row["measured"]) == ("loaded_samples", ">= 1,024", "8")


def test_what_judges_is_the_edition_not_the_rules_of_the_run(result):
    """Rules made lax by hand change nothing of what the edition says."""
    config, log, data = result("v4_0", "resnet50", "single_stream", "rules.min_duration_s=5")
    lax = dataclasses.replace(EDITIONS["v4_0"], min_duration_s=5)
    assert judged(lax, config, log, data)["met"]
    assert missed("v4_0", (config, log, data)) == ["min_duration"]


def test_the_command_line_says_it(engine):
    ended = engine("sut=null", "scenario=single_stream")
    names = [edition["edition"] for edition in ended.record["editions"]]
    assert names == ["v0_5", "v1_0", "v4_0", "v5_0", "v5_1", "v6_0", "v6_1"]
    said = " ".join(ended.out.split())
    assert "rules v0_5 missed:" in said
    assert f"rules {', '.join(names[1:])} does not have mobilenet" in said
