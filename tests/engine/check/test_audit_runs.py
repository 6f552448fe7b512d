"""The audits of a tree: there, passed, made for what they ask, and as fast as the result."""

import re
import shutil
from dataclasses import replace

import pytest

from engine.check.audits import audit_findings
from engine.published.tree import DIVISIONS, read_repository
from engine.submission.layout import found_place

from .damage import DETAIL, OFFLINE, RUN, edit, said, without_sums


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


def slower(file, factor):
    """Make an Offline run's rate lower by a factor, its longest latency longer."""
    text = file.read_text()
    rate = float(re.search(r'"result_samples_per_second", "value": ([\d.]+)', text)[1])
    longest = int(re.search(r'"result_max_latency_ns", "value": (\d+)', text)[1])
    edit(file, result_samples_per_second=rate / factor, result_max_latency_ns=int(longest * factor))


def test_an_audit_of_answers_that_ran_slower_logged_errors_or_has_no_figure_is_found(tree):
    root, division = tree("closed")
    without_sums(division)
    first, fourth = (division / OFFLINE / f"TEST0{n}/performance/run_1" / DETAIL for n in (1, 4))
    slower(first, 2)
    slower(fourth, 2)
    (line,) = said(root)
    assert "TEST01/performance/run_1: is 50% slower than the result, at most 10% is" in line
    first.write_text(first.read_text().replace('"is_error": false', '"is_error": true', 1))
    edit(fourth, result_samples_per_second=0, result_max_latency_ns=0)
    found = "\n".join(said(root))
    assert "TEST01/performance/run_1: 1 error(s) were logged" in found
    assert "TEST04/performance/run_1: does not state offline_samples_per_s" in found


def test_short_latencies_may_differ_by_twice_as_much_while_answers_are_kept(good_trees):
    root = good_trees["closed"]
    entries = read_repository(root, DIVISIONS).entries
    entry = next(each for each in entries if each.scenario == "single_stream")
    place = found_place(root / entry.path)
    for share, short, wanted in (
        (0.84, True, []),
        (0.84, False, ["TEST01"]),
        (0.7, True, ["TEST01"]),
    ):
        # As if the result's latency were a part of the audits'.
        value = entry.value * share
        limits = {"single_stream": value if short else value / 2}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("engine.check.audits.SHORT_MS", limits)
            found = list(audit_findings(place, replace(entry, value=value)))
        assert [path.parent.parent.name for path, _, _ in found] == wanted, found


def test_the_results_own_run_is_no_audit_of_it(tree):
    root, division = tree("closed")
    without_sums(division)
    for name in ("TEST01", "TEST04"):
        audit = division / OFFLINE / name / "performance/run_1"
        shutil.copytree(division / RUN, audit, dirs_exist_ok=True)
    answers, again = said(root)
    assert "TEST01/performance/run_1: is a run like any other: answers are kept of it" in answers
    assert "TEST04/performance/run_1: is a run like any other: it asks for one sample" in again


def test_a_model_has_the_audits_that_the_suite_has_for_it(good_trees):
    root = good_trees["closed"]
    entry, *_ = read_repository(root, DIVISIONS).entries
    place = found_place(root / entry.path)
    nowhere = replace(place, submitter=root / "nowhere")
    for model, wanted in (("resnet50", ["TEST01", "TEST04"]), ("bert", ["TEST01"])):
        found = audit_findings(nowhere, replace(entry, model=model))
        assert [(path.name, message) for path, _, message in found] == [
            (name, "is missing") for name in wanted
        ]


def test_an_audit_of_another_scenario_is_found(tree):
    root, division = tree("closed")
    without_sums(division)
    edit(division / OFFLINE / "TEST04/performance/run_1" / DETAIL, effective_scenario="Server")
    assert "TEST04/performance/run_1: ran Server, not offline" in "\n".join(said(root))
