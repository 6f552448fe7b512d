"""Which logs a test through the official interface has written, and where."""

import json
import re

import numpy as np
import pytest

from loadgen import Mode, mlperf


@pytest.fixture
def written(monkeypatch):
    """Calls of a log writer that stands in for ours and writes what each log is of."""
    calls = []

    def write_logs(folder, log, verdict, **rest):
        calls.append((folder, log, verdict, rest))
        folder.mkdir(exist_ok=True)
        for name in ("summary.txt", "detail.txt", "accuracy.json"):
            stem, kind = name.split(".")
            file = folder / f"{rest['prefix']}{stem}{rest['suffix']}.{kind}"
            file.write_text(f"{stem} of {log.settings.mode}")

    monkeypatch.setattr("loadgen.official.write_logs", write_logs)
    return calls


def log_settings(**output):
    made = mlperf.LogSettings()
    for name, value in output.items():
        setattr(made.log_output, name, value)
    return made


def test_the_writer_gets_the_record_and_its_names(written, harness, tmp_path):
    program = harness(total=40, performance=20)
    (outcome,) = program.run("Server", log=log_settings(prefix="run_", suffix="_1"))
    ((folder, log, verdict, rest),) = written
    assert (folder, log, verdict) == (tmp_path, outcome.log, outcome.verdict)
    assert rest == {
        "sut_name": "PySUT",
        "library_name": "PyQSL",
        "total_count": 40,
        "performance_count": 20,
        "trace": False,
        "prefix": "run_",
        "suffix": "_1",
    }
    assert (tmp_path / "run_summary_1.txt").is_file()


def test_a_submission_run_leaves_the_answers_beside_the_performance_logs(
    written, harness, tmp_path
):
    harness().run("Server", "SubmissionRun")
    assert [call[1].settings.mode for call in written] == [Mode.ACCURACY, Mode.PERFORMANCE]
    texts = {file.name: file.read_text() for file in tmp_path.iterdir() if file.is_file()}
    assert texts == {
        "mlperf_log_summary.txt": "summary of performance",
        "mlperf_log_detail.txt": "detail of performance",
        "mlperf_log_accuracy.json": "accuracy of accuracy",
    }
    in_accuracy = tmp_path / "accuracy" / "mlperf_log_detail.txt"
    assert in_accuracy.read_text() == "detail of accuracy"


def test_logs_may_be_printed_and_dated(written, harness, tmp_path, capsys):
    asked = log_settings(
        copy_summary_to_stdout=True, copy_detail_to_stdout=True, prefix_with_datetime=True
    )
    harness().run("Offline", log=asked)
    assert capsys.readouterr().out == "summary of performance\ndetail of performance\n"
    (summary,) = tmp_path.glob("*summary.txt")
    dated = r"mlperf_log_\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ_summary.txt"
    assert re.fullmatch(dated, summary.name)


def test_a_failed_test_is_logged_too(written, harness):
    program = harness()
    program.answer = lambda samples: 1 / 0
    program.run("Server")
    ((_, log, verdict, _),) = written
    assert "ZeroDivisionError" in log.error
    assert not verdict.valid


def test_a_search_logs_its_peak(written, harness, monkeypatch):
    monkeypatch.setattr("loadgen.mlperf.mapping.LATE_MS", 500.0)
    harness().run("Server", "FindPeakPerformance", server_target_latency_ns=1)
    ((_, log, _, _),) = written
    assert log.settings.target_qps == 2000


def test_the_logs_hold_what_was_answered(harness, tmp_path):
    program = harness(total=40, performance=20)
    program.run("Server", "AccuracyOnly", log=log_settings(outdir="unused"))
    rows = json.loads((tmp_path / "mlperf_log_accuracy.json").read_text())
    assert {row["qsl_idx"]: row["data"] for row in rows} == {
        i: np.int32(i).tobytes().hex().upper() for i in range(40)
    }
    lines = (tmp_path / "mlperf_log_detail.txt").read_text().splitlines()
    detail = {row["key"]: row["value"] for row in (json.loads(line[9:]) for line in lines)}
    assert detail["sut_name"] == "PySUT"
    assert detail["effective_scenario"] == "Server"
    assert detail["effective_test_mode"] == "AccuracyOnly"
    assert detail["qsl_reported_total_count"] == 40
    assert (tmp_path / "mlperf_log_summary.txt").stat().st_size > 0


def test_the_logs_hold_the_tokens(harness, tmp_path):
    program = harness(total=40, performance=20)
    asked = {"use_token_latencies": True, "server_target_latency_ns": 0}

    def speak(samples):
        address = program.table.ctypes.data
        for sample in samples:
            first = mlperf.QuerySampleResponse(sample.id, address + 8 * sample.index, 4)
            mlperf.FirstTokenComplete([first])
            whole = mlperf.QuerySampleResponse(sample.id, address, 4, 2 + sample.index)
            mlperf.QuerySamplesComplete([whole])

    program.answer = speak
    program.run("Server", "AccuracyOnly", **asked)
    rows = json.loads((tmp_path / "mlperf_log_accuracy.json").read_text())
    assert {row["qsl_idx"]: (row["token_data"], row["token_count"]) for row in rows} == {
        i: (np.int32(2 * i).tobytes().hex().upper(), 2 + i) for i in range(40)
    }
    program.run("Server", **asked)
    lines = (tmp_path / "mlperf_log_detail.txt").read_text().splitlines()
    detail = {row["key"]: row["value"] for row in (json.loads(line[9:]) for line in lines)}
    assert detail["requested_server_ttft_latency"] == 100_000_000
    assert detail["result_first_token_min_latency_ns"] > 0
    assert detail["result_completed_tokens_per_second"] > detail["result_completed_samples_per_sec"]
