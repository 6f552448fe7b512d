"""The accuracy run of a result: its log, its answers and their hash."""

import shutil

import pytest

from .damage import DETAIL, OFFLINE, RUN, edit, said, without_sums


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
        ("[1, 2", "mlperf_log_accuracy.json: is no JSON"),
        ("[]", "mlperf_log_accuracy.json: holds no answers"),
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


def test_a_performance_run_is_no_accuracy_run(tree):
    root, division = tree()
    without_sums(division)
    shutil.copyfile(division / RUN / DETAIL, division / OFFLINE / "accuracy" / DETAIL)
    assert "its test mode is PerformanceOnly, not AccuracyOnly" in "\n".join(said(root))
