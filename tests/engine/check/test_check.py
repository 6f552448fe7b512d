"""A good tree has no findings; each way to break one has a sentence of its own."""

import json
import os
import re
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.check.findings import sentences
from engine.check.tree import check_tree

from .damage import DETAIL, OFFLINE, RUN, edit, said, without_sums


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


@pytest.mark.parametrize("division", ["open", "v5_0"])
def test_a_server_is_held_to_the_rounds_bound_in_the_open_division_too(tree, division):
    root, folder = tree(division)
    without_sums(folder)
    run = folder / "Us/results/box/resnet50/Server/performance/run_1"
    edit(run / DETAIL, effective_target_latency_ns=15_100_000)
    assert "latency bound 15.1 ms, 15 ms is the rules'" in "\n".join(said(root))


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


def test_a_closed_system_is_none_of_the_network_division(tree):
    root, division = tree("closed")
    edit_description(division, is_network="True")
    (line,) = said(root)
    assert "is_network is true, which is the network division's" in line


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


def test_seeds_of_no_round_are_found(tree):
    root, division = tree()
    without_sums(division)
    names = ("qsl_rng_seed", "sample_index_rng_seed", "schedule_rng_seed")
    for file in division.rglob(f"performance/run_1/{DETAIL}"):
        edit(file, **{f"effective_{name}": 7 for name in names})
    assert "Offline: its seeds are those of no round that is known" in "\n".join(said(root))


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


def test_a_tree_too_deep_or_too_large_is_not_read(tree, monkeypatch):
    root, division = tree()
    monkeypatch.setattr("engine.check.walk.MOST_FILES", 5)
    (line,) = said(root)
    assert "is beyond the first 5 files of the tree. Put the file itself" not in line
    assert "is beyond the first 5 files of the tree" in line
    monkeypatch.undo()
    deep = division
    for _ in range(30):
        deep /= "d"
    deep.mkdir(parents=True)
    (line,) = said(root)
    assert "lies more than 24 folders deep" in line


def test_what_ends_one_results_check_is_a_finding_of_it(tree, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("of files that nobody thought of")

    monkeypatch.setattr("engine.check.tree.accuracy_findings", broken)
    root, _ = tree()
    assert said(root) == [
        f"open/Us/results/box/resnet50/{name}: could not be checked: ZeroDivisionError: of files "
        "that nobody thought of. Put the file there as the run wrote it."
        for name in ("Offline", "Server")
    ]


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
