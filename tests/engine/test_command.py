"""The program as its users meet it: results, exit codes and messages."""

import csv
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from engine.paths import conf_dir
from engine.validation import GROUPS


@pytest.mark.parametrize("scenario", ["single_stream", "multi_stream", "offline"])
def test_a_valid_run_ends_with_0_and_leaves_its_record(engine, scenario):
    ended = engine("sut=null", f"scenario={scenario}")
    assert ended.code == 0, ended.err
    record = ended.record
    assert (record["verdict"], record["finished"], record["exit_code"]) == ("VALID", True, 0)
    assert "VALID" in ended.out
    assert record["command"].startswith("python -m engine ")
    assert "sut=null" in record["command"].replace("'", "")
    assert record["deviations"], "a quick run must say that it is not conformant"
    assert "Not a rule-conformant result" in ended.out


def test_the_peak_is_found_confirmed_and_recorded(engine):
    ended = engine("sut=null", "scenario=server", "sut.delay_us=500", "scenario.bound_ms=20")
    assert ended.code == 0, ended.out + ended.err
    search = ended.record["search"]
    passed = [p for p in search["probes"] if (p["kind"], p["outcome"]) == ("confirm", "PASS")]
    assert search["best_qps"] == max(probe["rate_qps"] for probe in passed)
    assert search["run_lengths"] > 0
    assert search["interval_qps"][0] < search["interval_qps"][1]
    # A sleep of 0.5 ms and its overhead: some hundred to two thousand queries a second.
    assert 100 < search["best_qps"] < 2000
    assert f"peak {search['best_qps']:.4g} queries/s" in ended.out


def test_figures_in_the_record_can_be_recomputed_from_its_arrays(engine):
    ended = engine("sut=null", "scenario=server", "search=none", "scenario.target_qps=3000")
    (file,) = ended.folder.glob("runs/**/run_log.npz")
    with np.load(file, allow_pickle=False) as log:
        latency_ms = np.sort(log["completed_ns"] - log["scheduled_ns"]) / 1e6
    statistics = ended.record["performance"]["statistics"]
    assert statistics["query_count"] == len(latency_ms)
    assert statistics["latency_ms"]["p99"] == latency_ms[int(0.99 * len(latency_ms))]


def test_the_log_files_have_the_official_format(engine):
    ended = engine("sut=null", "scenario=server", "search=none", "scenario.target_qps=3000")
    (detail,) = ended.folder.glob("runs/**/performance/mlperf_log_detail.txt")
    lines = detail.read_text().splitlines()
    values = {row["key"]: row["value"] for row in (json.loads(line[9:]) for line in lines)}
    assert lines[0].startswith(":::MLLOG {")
    assert values["loadgen_version"].startswith("tailbound")
    assert values["result_validity"] == ended.record["verdict"]
    assert (
        values["result_query_count"] == (ended.record["performance"]["statistics"]["query_count"])
    )
    assert detail.with_name("mlperf_log_summary.txt").is_file()


def test_a_bound_that_cannot_be_met_is_said_within_seconds(engine):
    began = time.monotonic()
    ended = engine("sut=null", "scenario=server", "sut.delay_us=50000", "scenario.bound_ms=10")
    assert ended.code == 2
    assert time.monotonic() - began < 20
    assert "cannot be met at any rate" in ended.out
    assert "times too slow" in ended.out
    assert ended.record["verdict"] == "INVALID"
    assert ended.record["search"]["unloaded_ms"] > 50


def test_a_rate_beyond_the_system_is_invalid(engine):
    ended = engine(
        "sut=null",
        "sut.delay_us=10000",
        "scenario=server",
        "search=none",
        "scenario.target_qps=2000",
        "scenario.bound_ms=20",
    )
    assert ended.code == 2
    missed = [r["name"] for r in ended.record["performance"]["constraints"] if not r["passed"]]
    assert "p99_latency" in missed
    assert "MISSED" in ended.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["model=mobilnet"],
            [
                "model=mobilnet is not a choice",
                "resnet50, resnet50_v1, ssd_mobilenet, ssd_mobilenet_v2, ssd_resnet34",
            ],
        ),
        (["sut.threads"], ["sut.threads"]),
        (["=3"], ["=3"]),
        (["sut.thread=1"], ["thread is not a key of sut", "Did you mean threads?"]),
        (["model.preprocessing.sise=2"], ["sise is not a key of model.preprocessing"]),
        (["model=null"], ["needs a model"]),
        (["~tracking"], ["needs a tracking"]),
        (["hydra.run.dir=/proc/nowhere", "sut=null", "scenario=offline"], ["hydra.run.dir=FOLDER"]),
        (["-m", "sut=null", "hydra.sweep.dir=/proc/nowhere"], ["hydra.sweep.dir=FOLDER"]),
        (["+sut.thread=1"], ["thread is not a key of sut", "Did you mean threads?"]),
        (["sut.threads=0"], ["sut.threads=0", "at least 1"]),
        (["modell=resnet50"], ["modell is not a key", "Did you mean model?", "Its keys: audit, "]),
        (["model=mobilenet,resnet50"], ["model=mobilenet,resnet50: to run each of them, add -m"]),
        (["mode=fast"], ["mode=fast", "performance, accuracy, both"]),
        (["scenario=server", "search=none"], ["scenario.target_qps=QPS"]),
        (["model.name=mine", "sut=null"], ["scenario.bound_ms=MILLISECONDS"]),
        (["model=onnx", "scenario=offline"], ["model.path=FILE.onnx"]),
        (["model=onnx", "model.path=absent.onnx", "scenario=offline"], ["absent.onnx"]),
        (["model.weights=absent.npz"], ["absent.npz"]),
        (["dataset=imagenet", "dataset.path=absent"], ["absent"]),
        (["sut=null", "mode=accuracy"], ["sut=null has no answers"]),
        (["sut=null", "--bogus", "scenario=offline"], ["--bogus is not a flag", "--config-dir"]),
        (["--experimental-rerun=run.pickle"], ["--experimental-rerun=run.pickle is not a flag"]),
        (["-m=yes"], ["-m=yes is not a flag"]),
        (["sut=null", "--config-dir"], ["--config-dir needs a value"]),
        (["--cfg", "mine"], ["--cfg mine is not allowed", "job, hydra, all"]),
    ],
)
def test_a_mistake_ends_with_3_and_one_message(engine, arguments, words):
    ended = engine(*arguments)
    assert ended.code == 3
    for word in words:
        assert word in ended.err
    assert "Traceback" not in ended.err
    assert len(ended.err.splitlines()) == 1
    assert all(any(folder.iterdir()) for folder in ended.folder.rglob("runs/**/"))


@pytest.mark.parametrize("sweep", [(), ("-m",)])
def test_a_secret_in_an_address_is_shown_and_kept_nowhere(engine, tmp_path, sweep):
    ended = engine(
        *sweep,
        "sut=null",
        "scenario=single_stream",
        "tracking=mlflow",
        "tracking.uri='http://me:s3cret@127.0.0.1:9'",
    )
    assert ended.code == 0
    assert "cannot be reached" in ended.err
    assert "s3cret" not in ended.out + ended.err
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert "result.json" in {file.name for file in files}
    assert not [file for file in files if b"s3cret" in file.read_bytes()]


def test_a_fault_of_ours_ends_with_1_and_does_not_end_a_sweep(engine, monkeypatch):
    from engine import job

    measure, calls = job._measure, []

    def broken_once(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise ZeroDivisionError("a fault of this program")
        return measure(*arguments)

    monkeypatch.setattr(job, "_measure", broken_once)
    ended = engine("-m", "sut=null", "scenario=single_stream,offline")
    assert ended.code == 1
    assert "ZeroDivisionError" in ended.err
    assert len(calls) == 2
    assert ended.out.rpartition("verdict")[2].count("VALID") == 1


def failing_network(path):
    """Looks a row up by the sample's first pixel, which lies outside the table."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    value = helper.make_tensor_value_info
    initialisers = [
        numpy_helper.from_array(np.zeros((1, 3), np.float32), "table"),
        numpy_helper.from_array(np.array([1, 2, 3]), "axes"),
        numpy_helper.from_array(np.float32(1e6), "far"),
    ]
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["top"], keepdims=0, axes=[1, 2, 3]),
        helper.make_node("Abs", ["top"], ["size"]),
        helper.make_node("Add", ["size", "far"], ["number"]),
        helper.make_node("Cast", ["number"], ["row"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "row"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "fails",
        [value("x", TensorProto.FLOAT, ["n", 3, 224, 224])],
        [value("y", TensorProto.FLOAT, ["n", 3])],
        [initialisers[0], initialisers[2]],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))


def test_a_system_that_fails_ends_with_4_and_its_reason(engine, tmp_path):
    failing_network(tmp_path / "fails.onnx")
    ended = engine("model=onnx", "model.path=fails.onnx", "scenario=single_stream")
    assert ended.code == 4, ended.err
    assert "Gather" in ended.out + ended.err
    record = ended.record
    assert record["verdict"] == "FAILED"
    assert record["finished"] is False


def test_a_system_that_fails_while_it_is_timed_ends_with_4_too(engine, tmp_path):
    failing_network(tmp_path / "fails.onnx")
    ended = engine("model=onnx", "model.path=fails.onnx", "scenario=offline")
    assert ended.code == 4, ended.err
    assert "Gather" in ended.err


def test_a_sweep_ends_with_one_table_and_the_gravest_code(engine):
    ended = engine(
        "-m",
        "sut=null",
        "scenario=single_stream,multi_stream,server,offline",
        "search=none",
        "scenario.target_qps=50000",
        "scenario.bound_ms=0.0005",
    )
    assert ended.code == 2
    (file,) = ended.folder.glob("runs/sweep_*/summary.csv")
    with file.open() as opened:
        rows = list(csv.DictReader(opened))
    assert [row["scenario"] for row in rows] == [
        "single_stream",
        "multi_stream",
        "server",
        "offline",
    ]
    assert [row["verdict"] for row in rows] == ["VALID", "VALID", "INVALID", "VALID"]
    table = ended.out.rpartition("verdict")[2]
    assert table.count("VALID") == 4
    assert "p99_latency" in table


def test_a_sweep_goes_on_after_a_job_that_cannot_start(engine):
    ended = engine("-m", "sut=null", "scenario=offline", "mode=accuracy,performance")
    assert ended.code == 3
    assert ended.out.count("FAILED") == 1
    assert "VALID" in ended.out


QUICK = "scenario.min_duration_s=0.2"


def process(tmp_path, cache, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "engine", "tracking=none", "dataset.count=8", *arguments],
        cwd=tmp_path,
        env={**os.environ, "TAILBOUND_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_ends_with_130_and_keeps_what_was_measured(tmp_path, shared_cache):
    slow = ("sut=null", "sut.delay_us=1000", "scenario=single_stream", "report=false")
    running = process(tmp_path, shared_cache, *slow)
    end = time.monotonic() + 60
    while not list(tmp_path.glob("runs/**/result.json")) and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(3)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, out + err
    assert "Traceback" not in err
    (file,) = tmp_path.glob("runs/**/result.json")
    record = json.loads(file.read_text())
    assert (record["verdict"], record["finished"]) == ("INTERRUPTED", False)
    assert record["performance"]["statistics"]["query_count"] > 100
    assert file.with_name("run_log.npz").is_file()


def test_it_runs_from_any_folder_and_refuses_a_typo(tmp_path, shared_cache):
    running = process(tmp_path, shared_cache, "scenario=ofline")
    out, err = running.communicate(timeout=60)
    assert running.returncode == 3
    assert "offline" in err
    assert out == ""


def test_a_damaged_cache_is_mended_and_said(tmp_path):
    failing_network(tmp_path / "fails.onnx")

    def ended():
        own = ("model=onnx", "model.path=fails.onnx", "scenario=offline", "dataset.count=8")
        running = process(tmp_path, tmp_path / "cache", *own, "tracking=none")
        _, err = running.communicate(timeout=60)
        assert running.returncode == 4, err
        return err

    assert "damaged" not in ended()
    for file in (tmp_path / "cache").glob("*.npy"):
        file.write_bytes(file.read_bytes()[:-1])
    assert "is damaged; it is made anew" in ended()
    assert "damaged" not in ended()


def test_help_names_every_group_and_exit_code(engine):
    ended = engine("--help", quickly=())
    assert ended.code == 0
    for group in GROUPS:
        choices = sorted(file.stem for file in (conf_dir() / group).glob("*.yaml"))
        assert f"\n{group}: {', '.join(choices)}\n" in ended.out
    assert "130 interrupted" in ended.out


def test_a_reader_who_leaves_early_gets_no_message():
    read, write = os.pipe()
    os.close(read)
    help_into_closed_pipe = [sys.executable, "-m", "engine", "--help"]
    ended = subprocess.run(help_into_closed_pipe, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert ended.stderr == ""
    assert ended.returncode == 128 + signal.SIGPIPE


def test_a_value_is_refused_before_anything_heavy_is_loaded(tmp_path):
    heavy = [
        "numpy",
        "scipy",
        "onnx",
        "onnxruntime",
        "mlflow",
        "matplotlib",
        "PIL",
        "rich",
        "loadgen",
    ]
    code = (
        "import sys, engine.app\n"
        "sys.argv[1:] = ['scenario.min_duration_s=abc']\n"
        "code = engine.app.main()\n"
        f"print(code, [m for m in {heavy} if m in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert ended.stdout.strip() == "3 []", ended.stderr
    assert "scenario.min_duration_s=abc is not allowed" in ended.stderr


def test_a_checkout_that_is_not_compiled_runs_the_installed_package(tmp_path):
    """As after a plain ``pip install .``: the folder's own modules come first, uncompiled."""
    for package in ("engine", "loadgen"):
        (tmp_path / package).mkdir()
    root = Path(__file__).parents[2]
    for file in ("engine/__init__.py", "engine/__main__.py", "loadgen/__init__.py"):
        (tmp_path / file).write_text((root / file).read_text())
    ended = subprocess.run(
        [sys.executable, "-m", "engine", "scenario=ofline"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 3
    assert "scenario=ofline is not a choice" in ended.stderr


def test_a_system_refuses_a_precision_that_it_does_not_compute_in(engine):
    assert "fp32 or precision=int8 or precision=int4" in engine("precision=fp16").err
    ended = engine("model=mobilenet", "precision=int4")
    assert ended.code == 3 and "precision=int4 is for translation: mobilenet" in ended.err


def test_a_precision_that_the_processor_lacks_is_refused(engine, monkeypatch):
    monkeypatch.setattr("sut.openvino.computes_in", lambda precision: False)
    ended = engine("sut=openvino", "precision=bf16")
    assert ended.code == 3 and "no bf16 arithmetic: OpenVINO would compute in fp32" in ended.err


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed")
def test_without_cupy_the_gpus_system_says_what_to_install(engine):
    ended = engine("sut=cupy", "precision=fp16")
    assert ended.code == 4
    assert "pip install 'cupy-cuda13x[ctk]'" in ended.err
    assert "Traceback" not in ended.err
