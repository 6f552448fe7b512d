"""A good tree has no findings; each way to break one has a sentence of its own."""

import json
import os
import re
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.check.findings import sentences
from engine.check.tree import check_tree

OFFLINE = "Us/results/box/resnet50/Offline"
RUN = f"{OFFLINE}/performance/run_1"
DETAIL = "mlperf_log_detail.txt"


def said(root, edition=""):
    return list(sentences(check_tree(root, edition).findings))


def without_sums(folder):
    """Forget what the files were, as somebody who edits them would see to."""
    for file in folder.rglob("sha256.txt"):
        file.unlink()


def edit(file, **values):
    """Change facts of a detail log, leaving all else as it is."""
    lines = file.read_text().splitlines(keepends=True)
    for at, line in enumerate(lines):
        entry = json.loads(line.removeprefix(":::MLLOG"))
        if entry["key"] in values:
            entry["value"] = values.pop(entry["key"])
            lines[at] = f":::MLLOG {json.dumps(entry)}\n"
    assert not values
    file.write_text("".join(lines))


def edit_description(division, **values):
    file = division / "Us/systems/box.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.mark.parametrize(("name", "results"), [("open", 2), ("closed", 3), ("v5_0", 2)])
def test_a_good_tree_has_no_findings(good_trees, name, results):
    checked = check_tree(good_trees[name])
    assert checked.results == results
    assert list(sentences(checked.findings)) == []


REMOVED = {
    RUN + "/mlperf_log_summary.txt": "run_1/mlperf_log_summary.txt: is missing",
    f"{RUN}/{DETAIL}": "mlperf_log_detail.txt: is missing",
    f"{OFFLINE}/accuracy/{DETAIL}": "accuracy/mlperf_log_detail.txt: is missing",
    OFFLINE + "/accuracy/mlperf_log_accuracy.json": "mlperf_log_accuracy.json: is missing",
    OFFLINE + "/accuracy/accuracy.txt": "accuracy.txt: is missing",
    OFFLINE + "/measurements.json": "measurements.json: is missing",
    OFFLINE + "/user.conf": "user.conf: is missing",
    OFFLINE + "/README.md": "README.md: is missing",
    OFFLINE + "/TEST01/verify_accuracy.txt": "verify_accuracy.txt: is missing",
    OFFLINE + "/TEST04/verify_performance.txt": "TEST04/verify_performance.txt: is missing",
    OFFLINE + "/TEST01": "TEST01: is missing. Make the audit again",
    OFFLINE + "/TEST04/performance": "TEST04/performance/run_1: is missing",
    "Us/systems/box.json": "systems/box.json: is missing",
    "Us/documentation/calibration.md": "calibration.md: is missing",
    "Us/src": "Us/src: is missing: the source belongs there",
}


@pytest.mark.parametrize("name", REMOVED)
def test_what_is_missing_is_said(tree, name):
    root, division = tree("closed")
    without_sums(division)
    path = division / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert REMOVED[name] in "\n".join(said(root))


EDITED = [
    ({"result_validity": "INVALID"}, "the run is INVALID. Repeat the run"),
    ({"result_samples_per_second": 999.5}, "offline_samples_per_s is stated as 999.5, recomputed"),
    ({"result_max_latency_ns": 10**9}, "result_99.90_percentile_latency_ns"),
    ({"result_mean_latency_ns": 10**15}, "the mean latency 1,000,000,000,000,000 ns is not"),
    ({"effective_qsl_rng_seed": 7}, "seeds are not the round's: qsl"),
    ({"effective_qsl_rng_seed": 7}, "the samples that it loaded are not those that its seed"),
    ({"effective_performance_sample_count": 64}, "64 samples were loaded, at least 1,024"),
    ({"effective_samples_per_query": 100}, "100 samples, at least 24,576 are asked for"),
    ({"effective_performance_issue_same": True}, "it issued same samples, which only audits do"),
    ({"effective_test_mode": "FindPeakPerformance"}, "its test mode is FindPeakPerformance"),
    ({"result_90.00_percentile_latency_ns": 5}, "gives result_90.00_percentile_latency_ns as"),
    ({"result_90.00_percentile_latency_ns": 5}, "in the summary and 5 in the detail log"),
    ({"num_errors": 3}, "its log counts 3 errors"),
]


@pytest.mark.parametrize(("values", "words"), EDITED, ids=str)
def test_an_edited_log_is_found(tree, values, words):
    root, division = tree()
    without_sums(division)
    edit(division / RUN / DETAIL, **values)
    assert words in "\n".join(said(root))


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


def test_a_run_too_short_is_found(tree):
    root, division = tree()
    without_sums(division)
    for file in (division / RUN).iterdir():
        file.write_text(re.sub(r"\b6\d{11}\b", "59000000000", file.read_text()))
    assert "ran 59.0 s, at least 600 s are asked for" in "\n".join(said(root))


def test_a_logged_error_is_found(tree):
    root, division = tree()
    without_sums(division)
    for name in (RUN, f"{OFFLINE}/accuracy"):
        file = division / name / DETAIL
        file.write_text(file.read_text().replace('"is_error": false', '"is_error": true', 1))
    found = "\n".join(said(root))
    assert "run_1: 1 error(s) were logged" in found
    assert f"accuracy/{DETAIL}: 1 error(s) were logged" in found


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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("accuracy=76.2%\n", "has no line hash=SHA256"),
        ("hash=" + "0" * 64, "states no quality"),
        ("accuracy=70.0%\nhash=" + "0" * 64, "quality 70, at least 75.6954 is asked for"),
    ],
)
def test_the_accuracy_file_is_read(tree, text, words):
    root, division = tree("closed")
    without_sums(division)
    (division / OFFLINE / "accuracy/accuracy.txt").write_text(text)
    assert words in "\n".join(said(root))


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (
            '[\n{ "seq_id" : 0, "qsl_idx" : 0, "data" : "00" }\n]\n',
            "whose hash accuracy.txt states",
        ),
        ("[" + " " * 20_000 + "]", "it is not shortened"),
        ("nothing\n\n...\n\n]", "does not begin and end as an accuracy log does"),
    ],
)
def test_the_accuracy_log_is_held_against_its_hash(tree, answers, words):
    root, division = tree()
    without_sums(division)
    (division / OFFLINE / "accuracy/mlperf_log_accuracy.json").write_text(answers)
    assert words in "\n".join(said(root))


def test_an_accuracy_run_of_a_part_of_the_data_or_another_system_is_found(tree):
    root, division = tree()
    without_sums(division)
    file = division / OFFLINE / "accuracy" / DETAIL
    edit(file, effective_accuracy_sample_count=500, sut_name="other", effective_scenario="Server")
    found = "\n".join(said(root))
    assert "it covers 500 samples, not all 50,000" in found
    assert "sut_name is other, the performance run's box" in found
    assert "it ran server, not offline" in found


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cooling": ""}, "cooling is missing or empty (how it is cooled"),
        ({"hw_notes": None}, "hw_notes is missing; it may be empty"),
        ({"status": "soon"}, "status is soon, not one of available, preview, rdi"),
        ({"system_type": "phone"}, "system_type is phone"),
        ({"submitter": "Them"}, "submitter is Them, but it lies under Us"),
        ({"division": "closed"}, "division is closed, but it lies under open"),
    ],
    ids=str,
)
def test_the_system_description_is_read(tree, changes, words):
    root, division = tree()
    file = division / "Us/systems/box.json"
    content = {
        k: v for k, v in {**json.loads(file.read_text()), **changes}.items() if v is not None
    }
    file.write_text(json.dumps(content))
    (line,) = said(root)
    assert words in line


@pytest.mark.parametrize("content", ["{}", "[1]", '{"retraining": "no"}', "{", "[" * 50_000])
def test_the_measurements_document_is_read(tree, content):
    root, division = tree()
    without_sums(division)
    (division / OFFLINE / "measurements.json").write_text(content)
    assert "measurements.json: " in "\n".join(said(root))


def test_an_audit_that_failed_or_ran_faster_is_found(tree):
    root, division = tree("closed")
    without_sums(division)
    audits = division / OFFLINE
    (audits / "TEST01/verify_accuracy.txt").write_text("TEST FAIL")
    edit(audits / "TEST01/performance/run_1" / DETAIL, result_validity="INVALID")
    fast = audits / "TEST04/performance/run_1" / DETAIL
    rate = float(re.search(r'"result_samples_per_second", "value": ([\d.]+)', fast.read_text())[1])
    longest = int(re.search(r'"result_max_latency_ns", "value": (\d+)', fast.read_text())[1])
    edit(fast, result_samples_per_second=rate * 2, result_max_latency_ns=longest // 2)
    found = "\n".join(said(root))
    assert "TEST01/verify_accuracy.txt: does not say TEST PASS" in found
    assert "TEST01/performance/run_1: its run is INVALID" in found
    assert "TEST04/performance/run_1: is 100% faster than the result, at most 10% is" in found


def test_the_results_own_run_is_no_audit_of_it(tree):
    root, division = tree("closed")
    without_sums(division)
    for name in ("TEST01", "TEST04"):
        audit = division / OFFLINE / name / "performance/run_1"
        shutil.copytree(division / RUN, audit, dirs_exist_ok=True)
    answers, again = said(root)
    assert "TEST01/performance/run_1: is a run like any other: answers are kept of it" in answers
    assert "TEST04/performance/run_1: is a run like any other: it asks for one sample" in again


def test_an_audit_of_another_scenario_is_found(tree):
    root, division = tree("closed")
    without_sums(division)
    edit(division / OFFLINE / "TEST04/performance/run_1" / DETAIL, effective_scenario="Server")
    assert "TEST04/performance/run_1: ran Server, not offline" in "\n".join(said(root))


def test_a_result_of_this_program_must_have_its_record(tree):
    root, division = tree()
    shutil.rmtree(division / "Us/documentation/box")
    assert {line.partition(": ")[2] for line in said(root)} == {
        "is missing: tailbound leaves it with each result. Put the file there as the run wrote it."
    }


def test_a_closed_system_needs_all_its_scenarios(tree):
    root, division = tree("closed")
    shutil.rmtree(division / "Us/results/box/resnet50/MultiStream")
    assert said(root) == [
        "closed/Us/results/box/resnet50: a closed system (edge) also needs multi_stream. "
        "Measure what is asked for, or submit to the open division."
    ]


def test_what_a_round_does_not_take_of_a_closed_system_is_found(tree):
    root, division = tree("v5_0")
    without_sums(division)
    edit_description(division, system_type="edge")
    lacking, unasked = said(root)
    assert "a closed system (edge) also needs multi_stream, single_stream" in lacking
    assert "a closed system (edge) may not have server. Take them out" in unasked
    again = "\n".join(said(root, "v6_1"))
    assert "seeds are not the round's" in again
    edit_description(division, system_type="datacenter")
    again = "\n".join(said(root, "v6_1"))
    assert "v6_1 takes no closed results of it from systems of type datacenter" in again


def test_a_submission_is_of_one_round(tree, good_trees):
    root, division = tree("closed")
    shutil.copytree(good_trees["v5_0"] / "closed/Us/results/box", division / "Us/results/other")
    found = "\n".join(said(root))
    assert "closed/Us: has results of several rounds: v5_0, v6_1. Repeat the run" in found


def test_earlier_rounds_have_measurements_and_audits_in_folders_of_their_own(tree):
    root, _ = tree("v5_0")
    us = root / "closed/Us"
    assert (us / "code/README.md").is_file()
    assert (us / "measurements/box/resnet50/Server/box_Server.json").is_file()
    assert not (us / "results/box/resnet50/Offline/TEST04").exists()
    (us / "compliance/box/resnet50/Offline/more.txt").write_text("more")
    assert "Offline/more.txt: was added" in "\n".join(said(root))
    shutil.rmtree(us / "compliance/box/resnet50/Offline/TEST04")
    assert "compliance/box/resnet50/Offline/TEST04: is missing" in "\n".join(said(root))


def test_mobilenet_is_held_against_what_the_suite_holds_it_against(tree):
    root, division = tree()
    without_sums(division)
    results = division / "Us/results/box"
    (results / "resnet50").rename(results / "mobilenet")
    edit(results / "mobilenet/Offline/accuracy" / DETAIL, effective_accuracy_sample_count=64)
    edit(
        results / "mobilenet/Server/performance/run_1" / DETAIL,
        effective_performance_sample_count=64,
    )
    found = "\n".join(said(root))
    assert "it covers 64 samples, not all 50,000" in found
    assert "64 samples were loaded, at least 1,024" in found


def test_the_rules_of_another_round_can_be_asked_for(good_trees):
    found = "\n".join(said(good_trees["open"], "v6_0"))
    assert "seeds are not the round's: qsl, sample_index, schedule" in found


@pytest.mark.parametrize("target", ["/etc/passwd", ".", "nowhere"])
def test_a_link_is_not_followed(tree, target):
    root, division = tree()
    (division / OFFLINE / "accuracy/accuracy.txt").unlink()
    (division / OFFLINE / "accuracy/accuracy.txt").symlink_to(target)
    (line,) = said(root)
    assert "accuracy.txt: is a link, which is not followed" in line


def test_what_is_no_file_is_not_opened(tree):
    root, division = tree()
    os.mkfifo(division / OFFLINE / "pipe")
    (line,) = said(root)
    assert "pipe: is neither a file nor a folder" in line


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


def test_names_cannot_speak_to_the_terminal(tree):
    root, division = tree()
    (division / "Us/results/box/resnet50/\x1b[2J").mkdir()
    (line,) = said(root)
    assert "\x1b" not in line and "\\x1b[2J" in line


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_is_a_finding_and_never_a_crash(good_trees, tmp_path_factory, data):
    root = tmp_path_factory.mktemp("damaged") / "tree"
    shutil.copytree(good_trees["open"] / "open/Us/systems", root / "open/Us/systems")
    for part in ("results", "documentation"):
        inside = f"open/Us/{part}/box/resnet50/Offline"
        shutil.copytree(good_trees["open"] / inside, root / inside)
    shutil.copytree(good_trees["open"] / "open/Us/src", root / "open/Us/src")
    files = sorted(f for f in root.rglob("*") if f.is_file() and f.parent.name != "src")
    file = data.draw(st.sampled_from(files))
    content = file.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        file.write_bytes(content[:at])
    else:
        other = bytes([content[at] ^ data.draw(st.integers(1, 255))])
        file.write_bytes(content[:at] + other + content[at + 1 :])
    found = said(root)
    assert found or file.name in ("box.json", "sha256.txt")
