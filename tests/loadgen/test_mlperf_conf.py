"""Config files: keys, units, wildcards, return codes, and warnings for typing errors."""

import json
from pathlib import Path

import pytest

from loadgen import mlperf

RULES = json.loads((Path(__file__).parents[1] / "data" / "official" / "conf.json").read_text())
NAMES = [
    name
    for name in dir(mlperf.TestSettings)
    if not name.startswith("_") and name not in ("FromConfig", "sut_timeout_ms")
]


@pytest.fixture
def configured(tmp_path):
    """Settings, and the return code, after reading a text."""

    def read(text, model="net", scenario="Server", conf_type=2, settings=None):
        file = tmp_path / "user.conf"
        file.write_text(text)
        settings = settings or mlperf.TestSettings()
        code = settings.FromConfig(str(file), model, scenario, conf_type)
        return settings, code

    return read


def changed(settings):
    values = ((name, getattr(settings, name)) for name in NAMES)
    return {n: v for n, v in values if v != getattr(mlperf.TestSettings, n)}


@pytest.mark.parametrize("scenario", mlperf.TestScenario.__members__)
@pytest.mark.parametrize("model", RULES)
def test_the_rules_of_a_model_are_the_official_ones(model, scenario, configured):
    settings, code = configured("", model, scenario, 1)
    assert code == 0
    assert changed(settings) == RULES[model][scenario]
    settings, _ = configured("*.*.min_duration = 5\n", model, scenario, 0)
    assert changed(settings) == RULES[model][scenario]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("*.*.target_qps = 3\nnet.*.target_qps = 4\n", 4),
        ("*.*.target_qps = 3\nnet.*.target_qps = 4\n*.Server.target_qps = 5\n", 5),
        ("net.Server.target_qps = 6\n*.Server.target_qps = 5\n", 6),
        ("net.Server.target_qps = 6\nnet.Server.target_qps = 7.5\n", 7.5),
        ("net.Server.target_qps = 1.5e3\n# net.Server.target_qps = 2\n", 1500),
        ("other.Server.target_qps = 9\nnet.Offline.target_qps = 8\n", 1),
    ],
)
def test_the_closest_line_counts(lines, expected, configured):
    settings, code = configured(lines)
    assert (code, settings.server_target_qps) == (0, expected)


def test_a_model_may_have_dots(configured):
    assert configured("net.5.Server.target_qps = 4\n", "net.5")[0].server_target_qps == 4


def test_units_are_ms_and_percent_in_the_file(configured):
    text = "".join(
        f"*.*.{key} = 37\n"
        for key in ("target_latency", "target_latency_percentile", "min_duration", "max_duration")
    )
    assert changed(configured(text)[0]) == {
        "single_stream_expected_latency_ns": 37e6,
        "multi_stream_expected_latency_ns": 37e6,
        "server_target_latency_ns": 37_000_000,
        "single_stream_target_latency_percentile": 0.37,
        "multi_stream_target_latency_percentile": 0.37,
        "server_target_latency_percentile": 0.37,
        "min_duration_ms": 37,
        "max_duration_ms": 37,
    }


def test_token_bounds_need_tokens_to_be_counted(configured, caplog):
    text = "*.*.ttft_latency = 5\n*.*.tpot_latency = 6\n"
    assert changed(configured(text)[0]) == {}
    assert "ttft_latency is ignored without use_token_latencies" in caplog.text
    settings, _ = configured("*.*.use_token_latencies = 1\n" + text)
    assert (settings.ttft_latency, settings.tpot_latency) == (5_000_000, 6_000_000)


def test_a_file_overrides_the_rules_and_a_second_one_the_first(configured, caplog):
    caplog.set_level("INFO")
    settings, _ = configured("*.*.min_duration = 9000\n", "resnet50", conf_type=1)
    assert settings.min_duration_ms == 9000
    assert settings.server_target_latency_ns == 15_000_000
    configured("*.*.min_query_count = 3\n", "resnet50", conf_type=1, settings=settings)
    assert (settings.min_duration_ms, settings.min_query_count) == (9000, 3)
    assert "a second config file" in caplog.text


def test_the_mode_may_be_set(configured, caplog):
    assert configured("*.*.mode = 1\n")[0].mode is mlperf.TestMode.AccuracyOnly
    assert configured("*.*.mode = 4\n")[0].mode is mlperf.TestMode.PerformanceOnly
    assert "must be 0, 1, 2 or 3" in caplog.text


def test_a_missing_file_is_an_error(tmp_path, caplog):
    settings = mlperf.TestSettings()
    assert settings.FromConfig(str(tmp_path / "none.conf"), "net", "Server", 1) == -2
    assert changed(settings) == {}
    assert "no such file" in caplog.text


@pytest.mark.parametrize(
    "line", ["net.Server.target_qps = ten", "net.Server.target_qps 5", "a.b.target_qps = 5 # c"]
)
def test_a_malformed_line_is_an_error_that_names_it(line, configured, caplog):
    assert configured(f"\n{line}\n")[1] == -22
    assert f":2: {line!r}" in caplog.text


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        ("net.Server.target_qp = 5", "did you mean target_qps?"),
        ("net.Servr.target_qps = 5", "there is no scenario Servr"),
        ("nett.Server.target_qps = 5", "no line is for the model net"),
        ("net.Server.target_qps=5", "is ignored: expected"),
        ("target_qps = 5", "is ignored: expected"),
        ("net.Server.qsl_rng_seed = 5", "only the rules may set qsl_rng_seed"),
    ],
)
def test_a_typing_error_is_warned_of_and_changes_nothing(line, warning, configured, caplog):
    settings, code = configured(line + "\n")
    assert code == 0
    assert changed(settings) == {}
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert warning in caplog.text
