"""Names, numbers, defaults and types of the official interface."""

import copy
import inspect
import json
import pickle
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from loadgen import mlperf

API = json.loads((Path(__file__).parents[1] / "data" / "official" / "api.json").read_text())
OURS = {"Outcome", "outcomes"}


def test_every_official_name_is_there_and_no_other():
    assert set(mlperf.__all__) - OURS == set(API["names"])
    assert all(hasattr(mlperf, name) for name in mlperf.__all__)


@pytest.mark.parametrize("name", API["enums"])
def test_enums_have_the_official_members_and_numbers(name):
    enum = getattr(mlperf, name)
    assert {key: member.value for key, member in enum.__members__.items()} == API["enums"][name]
    assert [int(member) for member in enum] == list(API["enums"][name].values())
    first = next(iter(API["enums"][name]))
    assert repr(enum(0)) == f"<{name}.{first}: 0>"
    assert str(enum(0)) == f"{name}.{first}"
    assert enum(1) != 1


@pytest.mark.parametrize("name", API["attributes"])
def test_settings_have_the_official_names_types_and_defaults(name):
    made = getattr(mlperf, name)()
    for attribute, (kind, default) in API["attributes"][name].items():
        value = getattr(made, attribute)
        assert type(value).__name__ == kind
        if default is not None:
            assert getattr(value, "name", value) == default
    ours = {n for n in dir(made) if not n.startswith("_") and not callable(getattr(made, n))}
    assert ours - set(API["attributes"][name]) <= {"sut_timeout_ms"}


@pytest.mark.parametrize("name", API["signatures"])
def test_functions_take_the_official_arguments(name):
    parameters = inspect.signature(getattr(mlperf, name)).parameters.values()
    wanted = API["signatures"][name]
    assert [p.default is not p.empty for p in parameters] == [optional for _, optional in wanted]
    for parameter, (official, _) in zip(parameters, wanted, strict=True):
        assert official.startswith("arg") or parameter.name == official


def test_samples_and_responses_carry_what_they_are_given():
    sample, response = mlperf.QuerySample(3, 4), mlperf.QuerySampleResponse(5, 6, 7)
    assert (sample.id, sample.index) == (3, 4)
    assert (response.id, response.data, response.size, response.n_tokens) == (5, 6, 7, 0)
    assert mlperf.QuerySampleResponse(1, 2, 3, 9).n_tokens == 9
    response.n_tokens = 8
    again = pickle.loads(pickle.dumps([sample, response]))
    assert (again[0].index, again[1].n_tokens) == (4, 8)
    for kind in ("QuerySample", "QuerySampleResponse"):
        made = getattr(mlperf, kind)()
        assert [n for n in dir(made) if not n.startswith("_")] == API["samples"][kind]
        with pytest.raises(AttributeError):
            made.typo = 1
    assert mlperf.VectorQuerySample([sample])[0] is sample


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("min_durations_ms", 1, AttributeError),
        ("_private", 1, AttributeError),
        ("min_duration_ms", 1.5, TypeError),
        ("min_duration_ms", -1, TypeError),
        ("min_duration_ms", 2**64, TypeError),
        ("server_target_qps", "10", TypeError),
        ("mode", 1, TypeError),
        ("scenario", mlperf.TestMode.AccuracyOnly, TypeError),
        ("server_coalesce_queries", 1, TypeError),
    ],
)
def test_a_wrong_setting_is_refused_by_name(name, value, error):
    with pytest.raises(error, match=name):
        setattr(mlperf.TestSettings(), name, value)


def test_numbers_of_numpy_are_taken():
    settings = mlperf.TestSettings()
    settings.min_query_count, settings.server_target_qps = np.int64(5), np.float32(2)
    settings.server_coalesce_queries, settings.qsl_rng_seed = np.True_, 2**64 - 1
    assert type(settings.min_query_count) is int
    assert type(settings.server_target_qps) is float
    assert settings.server_coalesce_queries is True
    settings.server_target_qps = 7
    assert copy.deepcopy(settings).server_target_qps == 7.0


def test_two_log_settings_share_nothing():
    first, second = mlperf.LogSettings(), mlperf.LogSettings()
    first.log_output.outdir = "elsewhere"
    assert second.log_output.outdir == "."


def test_handles_are_refused_once_destroyed():
    def nothing(*_):
        pass

    sut, fast = mlperf.ConstructSUT(nothing, nothing), mlperf.ConstructFastSUT(nothing, nothing)
    qdl = mlperf.ConstructQDL(nothing, nothing, lambda: "far away")
    qsl = mlperf.ConstructQSL(4, 4, nothing, nothing)
    assert len({sut, fast, qsl, qdl}) == 4
    mlperf.DestroySUT(sut)
    mlperf.DestroyFastSUT(fast)
    mlperf.DestroyQSL(qsl)
    mlperf.DestroyQDL(qdl)
    for destroy, handle in ((mlperf.DestroySUT, sut), (mlperf.DestroyQSL, qsl)):
        with pytest.raises(ValueError, match="destroyed"):
            destroy(handle)
    with pytest.raises(ValueError, match=f"{sut} is no system"):
        mlperf.StartTest(sut, qsl, mlperf.TestSettings())
    with pytest.raises(TypeError, match="flush_queries"):
        mlperf.ConstructSUT(nothing, 3)
    with pytest.raises(ValueError, match="at least 1"):
        mlperf.ConstructQSL(0, 0, nothing, nothing)


def test_a_program_for_the_official_module_runs_unchanged(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", mlperf)
    monkeypatch.chdir(tmp_path)
    program = """
import array, threading
import mlperf_loadgen as lg

def answer(samples):
    data = array.array("B", [1, 2])
    address, size = data.buffer_info()
    lg.QuerySamplesComplete([lg.QuerySampleResponse(s.id, address, size) for s in samples])

def issue(samples):
    threading.Thread(target=answer, args=[samples]).start()

settings = lg.TestSettings()
settings.scenario = lg.TestScenario.MultiStream
settings.mode = lg.TestMode.PerformanceOnly
settings.min_duration_ms = 50
settings.min_query_count = 20
sut = lg.ConstructSUT(issue, lambda: print("flushed"))
qsl = lg.ConstructQSL(64, 32, lambda indices: None, lambda indices: None)
lg.StartTest(sut, qsl, settings)
lg.DestroyQSL(qsl)
lg.DestroySUT(sut)
"""
    exec(compile(program, "program.py", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.startswith("flushed\n")
    (outcome,) = mlperf.outcomes()
    assert outcome.log.ending == "complete"
    assert len(outcome.log.scheduled_ns) >= 20


def test_a_networks_name_is_asked_when_a_test_starts(tmp_path):
    """A client may build its handle before it knows the address that its name comes from."""
    asked = []

    class Client:
        def __init__(self):
            self.handle = mlperf.ConstructQDL(self.issue, lambda: None, self.name)
            self.nodes = ["left", "right"]

        def issue(self, samples):
            mlperf.QuerySamplesComplete([mlperf.QuerySampleResponse(s.id, 0, 0) for s in samples])

        def name(self):
            asked.append(threading.current_thread())
            return " and ".join(self.nodes)

    client = Client()
    assert asked == []
    qsl = mlperf.ConstructQSL(4, 4, lambda samples: None, lambda samples: None)
    settings, log = mlperf.TestSettings(), mlperf.LogSettings()
    settings.min_duration_ms, log.log_output.outdir = 20, str(tmp_path)
    try:
        mlperf.StartTestWithLogSettings(client.handle, qsl, settings, log)
    finally:
        mlperf.DestroyQSL(qsl)
        mlperf.DestroyQDL(client.handle)
    assert asked == [threading.current_thread()]
    assert "SUT name : left and right\n" in (tmp_path / "mlperf_log_summary.txt").read_text()
