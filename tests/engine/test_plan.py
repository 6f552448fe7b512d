"""Rules and overrides become settings."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from engine.errors import ConfigError
from engine.paths import conf_dir
from engine.plan import (
    accuracy_settings,
    bound_ms,
    check,
    deviations,
    full_settings,
    performance_sample_count,
    published_target,
    quality_ratio,
)
from engine.validation import validate
from loadgen import Issue, Mode, Scenario


def configured(*overrides: str):
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return validate(compose("config", overrides=list(overrides)))


def test_table_iii_bounds_of_the_paper():
    assert bound_ms(configured("model=mobilenet")) == 10
    assert bound_ms(configured("model=resnet50")) == 15
    assert bound_ms(configured("model=ssd_resnet34")) == 100
    assert bound_ms(configured("model=ssd_mobilenet")) == 10


def test_samples_that_a_performance_run_loads():
    counts = {"mobilenet": 1024, "resnet50": 1024, "ssd_mobilenet": 256, "ssd_resnet34": 64}
    for model, count in counts.items():
        assert performance_sample_count(configured(f"model={model}")) == count
    config = configured("model=ssd_mobilenet", "dataset.performance_sample_count=8")
    assert performance_sample_count(config) == 8
    found = deviations(config, synthetic_data=False, reference_weights=True)
    assert "dataset.performance_sample_count is below the rules' 256" in found
    assert performance_sample_count(configured("model.name=mine")) is None


def test_the_published_target_of_the_light_detector():
    assert published_target(configured("model=ssd_mobilenet")) == 22.0
    assert published_target(configured("model=ssd_resnet34")) is None


def test_table_i_quality_targets_of_the_paper():
    assert quality_ratio(configured("model=mobilenet")) == 0.98
    assert quality_ratio(configured("model=resnet50")) == 0.99


def test_edition_v4_0():
    settings = full_settings(configured("model=resnet50", "rules=v4_0"), 100.0)
    assert settings.min_duration_ms == 600_000
    assert settings.min_query_count == 662
    assert (settings.percentile, settings.bound_ms) == (99, 15)
    offline = configured("model=resnet50", "rules=v4_0", "scenario=offline")
    assert full_settings(offline, 100.0).min_sample_count == 24_576


@pytest.mark.parametrize(
    ("scenario", "percentile", "per_query"),
    [("single_stream", 90, 1), ("multi_stream", 99, 8), ("server", 99, 1), ("offline", 99, 1)],
)
def test_scenarios_get_their_percentile_and_samples(scenario, percentile, per_query):
    settings = full_settings(configured(f"scenario={scenario}"), 10.0)
    assert settings.scenario is Scenario(scenario)
    assert (settings.percentile, settings.samples_per_query) == (percentile, per_query)


def test_the_user_overrides_the_rules_and_it_is_said():
    config = configured(
        "model=resnet50",
        "rules=v4_0",
        "scenario.min_duration_s=1",
        "scenario.min_query_count=10",
        "scenario.bound_ms=20",
    )
    settings = full_settings(config, 10.0)
    assert (settings.min_duration_ms, settings.min_query_count) == (1000, 10)
    assert settings.bound_ms == 20
    found = " ".join(deviations(config, synthetic_data=True, reference_weights=False))
    for word in ("min_duration_s=1", "min_query_count=10", "bound_ms=20", "synthetic", "weights"):
        assert word in found


def test_a_network_that_is_not_the_reference_one_is_said():
    config = configured("model=resnet50", "rules=v4_0")
    found = deviations(
        config, synthetic_data=False, reference_weights=True, variant="width 0.5, 96x96"
    )
    assert found == ["the network is not the reference one (width 0.5, 96x96)"]


def test_rules_changed_by_hand_are_said():
    config = configured("model=resnet50", "rules=v4_0", "rules.min_duration_s=0.5")
    found = deviations(config, synthetic_data=False, reference_weights=True)
    assert found == ["rules.min_duration_s is not what the edition says"]


@pytest.mark.parametrize(
    ("overrides", "word"),
    [
        (["scenario.target_qps=50"], "set search=none"),
        (["search=none"], "scenario.target_qps=QPS"),
        (["search=none", "scenario.target_qps=1e12"], "do not fit into memory"),
        (["model.preprocessing.size=512"], "resize=256 is smaller"),
        (
            ["mode=both", "model.width=0.25"],
            "no last layers fitted .* at width 0.25, .* Fitted are",
        ),
        (["mode=both", "model=ssd_mobilenet_v2"], "at its full size, .* dataset=coco"),
        (["mode=submit", "model.seed=1"], "model.seed=1 were never fitted"),
        (["mode=accuracy", "model.weights=mine.npz"], r"not fitted to synthetic data \(mine.npz\)"),
        (["mode=both", "model=onnx", "model.path=mine.onnx"], r"synthetic data \(mine.onnx\)"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_built(overrides, word):
    with pytest.raises(ConfigError, match=word):
        check(configured(*overrides))


def test_an_accuracy_run_needs_no_bound():
    config = configured("model.name=mine", "mode=accuracy")
    check(config)
    assert accuracy_settings(config, 5.0).bound_ms is None


def test_a_conformant_config_deviates_in_nothing():
    config = configured("model=resnet50", "rules=v4_0")
    assert deviations(config, synthetic_data=False, reference_weights=True) == []


def test_a_model_without_a_bound_is_told_how_to_give_one():
    with pytest.raises(ConfigError, match=r"set scenario\.bound_ms=MILLISECONDS"):
        bound_ms(configured("model.name=mine"))
    assert bound_ms(configured("model.name=mine", "scenario=offline")) is None


def test_a_server_run_may_extend_itself_to_a_multiple_of_its_planned_length():
    config = configured("model=resnet50", "rules=v4_0")
    fast, slow = full_settings(config, 100.0), full_settings(config, 0.5)
    assert fast.extend and slow.extend
    assert fast.max_duration_ms == 3 * 600_000
    assert slow.max_duration_ms == pytest.approx(3 * 662 / 0.5 * 1000)
    limited = configured("model=resnet50", "scenario.max_duration_s=30")
    assert not full_settings(limited, 100.0).extend
    assert not full_settings(configured("scenario=single_stream"), None).extend


def test_contradicting_durations_are_refused():
    config = configured("scenario.min_duration_s=10", "scenario.max_duration_s=5")
    with pytest.raises(ConfigError, match="max_duration_ms"):
        full_settings(config, 10.0)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["scenario.burst_size=4"], "burst_size=4 goes with arrivals=burst"),
        (["scenario.same_index=4"], "same_index=4 goes with issue=same"),
        (["scenario=offline", "scenario.max_duration_s=900"], "offline is one query"),
        (["scenario=offline", "scenario.arrivals=burst"], "only server queries arrive"),
        (["scenario.issue=equal", "scenario.arrivals=burst"], "does not go with issue=equal"),
    ],
)
def test_keys_without_use_for_each_other_are_refused(overrides, words):
    with pytest.raises(ConfigError, match=words):
        full_settings(configured(*overrides), 10.0)


def test_a_way_of_issue_may_go_with_an_accuracy_run():
    config = configured("scenario.issue=same", "scenario.same_index=3", "mode=both")
    assert full_settings(config, 5.0).same_index == 3
    assert accuracy_settings(config, 5.0).issue is Issue.RANDOM
    lasting = configured("model=resnet50", "rules=v4_0", "scenario.issue=equal")
    assert not full_settings(lasting, 100.0).extend


def test_an_accuracy_run_differs_only_in_its_mode():
    config = configured()
    assert accuracy_settings(config, 5.0).mode is Mode.ACCURACY
    assert accuracy_settings(config, 5.0).target_qps == 5.0


def test_rules_without_the_scenario_are_refused(tmp_path: Path):
    config = configured("rules.scenarios.server.percentile=null")
    with pytest.raises(ConfigError, match="has no scenario server"):
        full_settings(config, 1.0)


def test_a_simulated_system_and_unusual_traffic_are_said(configured):
    config = configured(
        "rules=v4_0", "sut=simulated", "scenario.arrivals=constant", "model=resnet50"
    )
    found = " ".join(deviations(config, synthetic_data=False, reference_weights=True))
    assert "the system is simulated" in found
    assert "scenario.arrivals=constant" in found
