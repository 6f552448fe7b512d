"""What this program leaves beside a result is held against it."""

import re
import shutil

import numpy as np
import pytest

from .damage import DETAIL, OFFLINE, RUN, edit, said, without_sums


def test_an_edit_of_every_log_alike_disagrees_with_the_times(tree):
    root, division = tree()
    without_sums(division)
    for name in (DETAIL, "mlperf_log_summary.txt"):
        file = division / "Us/results/box/resnet50/Server/performance/run_1" / name
        text = file.read_text()
        (value,) = set(
            re.findall(r'"result_99.00_percentile_latency_ns", "value": (\d+)', text)
        ) or {re.search(r"99.00 percentile latency \(ns\) *: (\d+)", text)[1]}
        file.write_text(text.replace(value, str(int(value) - 1000)))
    (line,) = said(root)
    assert "run_log.npz: gives result_99.00_percentile_latency_ns as" in line


def test_the_times_are_held_against_the_log(tree):
    root, division = tree()
    without_sums(division)
    edit(division / RUN / DETAIL, result_query_count=2, result_samples_per_second=124.9)
    found = "\n".join(said(root))
    assert "run_log.npz: has 1 queries, the detail log 2" in found
    assert "run_log.npz: gives 125 samples/s, the detail log says 124.9" in found
    file = division / "Us/documentation/box/resnet50/Server/run_log.npz"
    with np.load(file) as log:
        names = ("scheduled_ns", "first_sample", "completed_ns", "status")
        arrays = {name: log[name] for name in names}
    arrays["status"][:3] = 0
    np.savez(file, **arrays)
    assert "run_log.npz: has 3 samples without an answer" in "\n".join(said(root))


def test_whole_queries_are_held_against_the_log_of_several_streams(tree):
    root, division = tree("closed")
    without_sums(division)
    run = division / "Us/results/box/resnet50/MultiStream/performance/run_1"
    edit(run / DETAIL, **{"result_99.00_percentile_per_query_latency_ns": 1})
    found = "\n".join(said(root))
    assert "gives result_99.00_percentile_per_query_latency_ns as 64,000,000" in found


def test_times_too_large_to_unpack_are_not_unpacked(tree, monkeypatch):
    monkeypatch.setattr("engine.check.own.MOST_BYTES", 1000)
    root, _ = tree()
    assert re.search(r"run_log.npz: cannot be read: unpacks to [\d,]+ bytes", "\n".join(said(root)))


def test_any_changed_or_added_file_is_found_by_its_sum(tree):
    root, division = tree()
    (division / OFFLINE / "user.conf").write_text("# other")
    (division / OFFLINE / "more.txt").write_text("more")
    (division / "Us/documentation/box/resnet50/Offline/calibration.md").unlink()
    words = {line.split(": ")[1].partition(".")[0] for line in said(root)}
    assert words == {
        "is missing, but sha256",
        "is not the file that sha256",
        "was added",
    }


def test_a_result_of_this_program_must_have_its_record(tree):
    root, division = tree()
    shutil.rmtree(division / "Us/documentation/box")
    assert {line.partition(": ")[2] for line in said(root)} == {
        "is missing: tailbound leaves it with each result. Put the file there as the run wrote it."
    }


def test_the_list_of_sums_cannot_point_outside(tree):
    root, division = tree()
    with (division / "Us/documentation/box/resnet50/Offline/sha256.txt").open("a") as sums:
        sums.write(f"{'0' * 64}  ../../../etc/passwd\n{'0' * 64}  /etc/passwd\n")
    ours, theirs = said(root)
    assert "lists ../../../etc/passwd, which is outside" in ours
    assert "lists /etc/passwd, which is outside" in theirs


@pytest.mark.parametrize(
    "arrays",
    [
        b"",
        b"PK\x03\x04 no archive",
        {"scheduled_ns": [0]},
        {"scheduled_ns": [0.5], "first_sample": [0], "completed_ns": [1], "status": [1]},
        {"scheduled_ns": [0, 1], "first_sample": [0, 9], "completed_ns": [1], "status": [1]},
    ],
    ids=str,
)
def test_times_that_cannot_be_read_are_a_finding(tree, arrays):
    root, division = tree()
    without_sums(division)
    file = division / "Us/documentation/box/resnet50/Offline/run_log.npz"
    if isinstance(arrays, bytes):
        file.write_bytes(arrays)
    else:
        np.savez(file, **{name: np.array(values) for name, values in arrays.items()})
    (line,) = said(root)
    assert "run_log.npz: cannot be read" in line
