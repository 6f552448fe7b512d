"""mode=submit: what is missing is asked for before anything is measured; the rest is a tree."""

import hashlib
import json
import re

import pytest

from engine.errors import ConfigError
from engine.submission.accuracy import quality_line, shorten
from engine.submission.description import NAMES, NEEDED, described, must_be_complete

GIVEN = [
    "mode=submit",
    "rules=v6_1",
    "submission.submitter=Us",
    "submission.category=available",
    "submission.system_name=box",
    "submission.system_type=edge",
    *(f"submission.system.{name}=said" for name in NEEDED),
]
SHORTLY = (
    "model=mobilenet",
    "precision=fp32",
    "scenario=offline",
    "rules.scenarios.offline.min_sample_count=8",
    "sut.max_batch=1",
)


def test_a_complete_config_passes(configured):
    must_be_complete(configured(*GIVEN))


def test_every_key_that_is_missing_is_named_with_its_meaning_in_one_message(configured):
    config = configured("mode=submit", "rules=v6_1", "sut=cupy", "submission.category=rdi")
    with pytest.raises(ConfigError) as caught:
        must_be_complete(config)
    lines = str(caught.value).splitlines()[1:]
    keys = [line.split()[0] for line in lines]
    assert keys[:3] == [f"submission.{k}" for k in ("submitter", "system_name", "system_type")]
    system = {f"submission.system.{key}" for key in ("cooling", "host_memory_configuration")}
    assert system | {"submission.system.accelerator_interconnect"} <= set(keys)
    assert all(re.fullmatch(r"  submission\.\S+  \S.*", line) for line in lines)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("rules=quick", ["rules=quick", "rules=v5_1 or rules=v6_0 or rules=v6_1"]),
        ("submission.submitter=../us", ["submission.submitter=../us", "names a folder"]),
        ("submission.system_name=.box", ["submission.system_name=.box", "names a folder"]),
    ],
)
def test_what_cannot_become_a_submission_is_refused(configured, override, words):
    with pytest.raises(ConfigError) as caught:
        must_be_complete(configured(*GIVEN, override))
    assert all(word in str(caught.value) for word in words)


CLOSED = (*GIVEN, "model=resnet50", "scenario=offline", "submission.division=closed")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["model=mobilenet"], ["no closed results of model=mobilenet", "bert, resnet50, unet3d"]),
        (
            ["submission.system_type=datacenter"],
            ["v6_1 takes no closed results of model=resnet50", "=edge or datacenter,edge"],
        ),
        (["scenario=server"], ["in single_stream, multi_stream, offline, not in scenario=server"]),
    ],
)
def test_what_a_round_does_not_take_in_the_closed_division_is_refused(configured, overrides, words):
    must_be_complete(configured(*CLOSED))
    with pytest.raises(ConfigError) as caught:
        must_be_complete(configured(*CLOSED, *overrides))
    assert all(word in str(caught.value) for word in (*words, "submission.division=open"))


@pytest.mark.parametrize("model", ["resnet50", "mobilenet"])
def test_a_bound_that_the_suites_checker_refuses_is_refused_in_open_too(configured, model):
    served = [*GIVEN, f"model={model}", "scenario=server"]
    must_be_complete(configured(*served, "scenario.bound_ms=15"))
    with pytest.raises(ConfigError, match=r"bound_ms=15.5 is above the 15 ms that v6_1 allows"):
        must_be_complete(configured(*served, "scenario.bound_ms=15.5"))


def test_a_datacenter_serves_resnet50_in_v5_0_only(configured):
    served = [*CLOSED, "scenario=server", "submission.system_type=datacenter"]
    must_be_complete(configured(*served, "rules=v5_0"))
    with pytest.raises(ConfigError):
        must_be_complete(configured(*served, "rules=v5_1"))


def test_a_tree_of_another_layout_is_not_added_to(configured, tmp_path):
    there = f"submission.path={tmp_path}"
    (tmp_path / "closed/Us/results").mkdir(parents=True)
    must_be_complete(configured(*CLOSED, there))
    with pytest.raises(ConfigError, match=r"is laid out for another round than v5_1"):
        must_be_complete(configured(*CLOSED, there, "rules=v5_1"))


def test_a_closed_submission_needs_the_suites_audits(configured):
    closed = CLOSED
    must_be_complete(configured(*closed, "audit.tests=[caching,same_answers]"))
    with pytest.raises(ConfigError, match=r"leaves out caching: name all"):
        must_be_complete(configured(*closed, "audit.tests=[same_answers]"))


def test_the_description_has_the_suites_fields_and_the_users_word_counts(configured):
    found = described(configured("submission.system.host_memory_capacity=1 TB"))
    assert len(found) == 35 == len(NAMES) + 5
    assert found["host_memory_capacity"] == "1 TB"
    assert "accelerator_on-chip_memories" in found


def test_another_system_of_the_same_name_is_refused(configured, tmp_path):
    config = configured(*GIVEN, f"submission.path={tmp_path}")
    file = tmp_path / "open/Us/systems/box.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(described(config)))
    must_be_complete(config)
    file.write_text(json.dumps({**described(config), "cooling": "water"}))
    with pytest.raises(ConfigError, match=r"differs in cooling"):
        must_be_complete(config)
    file.write_text("[")
    with pytest.raises(ConfigError, match=r"is no system description"):
        must_be_complete(config)


def test_nothing_is_measured_while_something_is_missing(engine):
    ended = engine("mode=submit", "rules=v6_1", *SHORTLY)
    assert ended.code == 3
    assert "submission.submitter  who submits" in ended.err
    assert not list(ended.folder.rglob("result.json"))


def test_benchmarks_add_to_one_tree_which_the_check_reads(engine):
    first = engine(*GIVEN, *SHORTLY, "rules.late_wakeup_share=1")
    assert first.code == 0, first.out + first.err
    stream = ["scenario=single_stream", "scenario.min_query_count=64", "scenario.sut_timeout_s=600"]
    second = engine(*GIVEN, *SHORTLY[:2], *stream, "rules.late_wakeup_share=1")
    assert second.code == 0, second.out + second.err
    results = first.folder / "submission/open/Us/results/box/mobilenet"
    assert {path.name for path in results.iterdir()} == {"Offline", "SingleStream"}
    run = results / "Offline/performance/run_1"
    (logs,) = first.folder.glob("runs/mobilenet/offline/*/performance")
    for name in ("mlperf_log_detail.txt", "mlperf_log_summary.txt"):
        assert (run / name).read_bytes() == (logs / name).read_bytes()
    answers = (results / "Offline/accuracy/mlperf_log_accuracy.json").read_bytes()
    quality = (results / "Offline/accuracy/accuracy.txt").read_text()
    assert f"hash={hashlib.sha256(answers).hexdigest()}\n" in quality
    assert re.match(r"accuracy=[\d.]+%, good=\d+, total=8\n", quality)
    assert "mobilenet.Offline.min_duration = 300\n" in (results / "Offline/user.conf").read_text()
    measured = json.loads((results / "Offline/measurements.json").read_text())
    assert measured["weight_data_types"] == "fp32"
    assert measured["retraining"].startswith("yes: the last layer was fitted")
    checked = engine("mode=check", f"path={first.folder / 'submission'}")
    said = checked.out.splitlines()
    # What is short of the rules is short; all else is as it should be.
    assert checked.code == 2
    allowed = r".*: (ran \d.*|\d+ samples(,| were) .*|it covers 8 samples.*)"
    assert all(re.fullmatch(allowed, line) for line in said[:-1]), checked.out


def test_an_invalid_result_is_not_added(engine):
    too_slow = [
        "scenario=server",
        "search=none",
        "scenario.target_qps=20",
        "scenario.bound_ms=0.01",
    ]
    ended = engine(*GIVEN, *SHORTLY[:2], *too_slow, "scenario.min_query_count=4")
    assert ended.code == 2
    assert "not added to the submission, for the result is INVALID:\n  " in ended.err
    assert re.search(r"^  p99_latency was missed: <= 0.01 ms, measured", ended.err, re.MULTILINE)
    assert not (ended.folder / "submission").exists()


def test_audits_lie_where_the_suite_looks_for_them(good_trees):
    offline = good_trees["closed"] / "closed/Us/results/box/resnet50/Offline"
    assert (offline / "TEST01/verify_accuracy.txt").read_text().endswith("TEST PASS\n")
    assert (offline / "TEST04/performance/run_1/mlperf_log_detail.txt").is_file()
    assert not (offline / "TEST05").exists()


@pytest.mark.parametrize("size", [100, 10 * 1024, 10 * 1024 + 1, 1_000_000])
def test_a_long_log_keeps_its_two_ends(tmp_path, size):
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    (tmp_path / "whole").write_bytes(content)
    shorten(tmp_path / "whole", tmp_path / "short")
    short = (tmp_path / "short").read_bytes()
    if size <= 10 * 1024:
        assert short == content
    else:
        assert len(short) <= 10 * 1024
        assert (short[:4096], short[-4096:]) == (content[:4096], content[-4096:])


@pytest.mark.parametrize(
    ("metric", "value", "line"),
    [
        ("top1_percent", 76.4, "accuracy=76.400%, good=764, total=1000"),
        ("coco_map_percent", 20.15, "mAP=20.150%"),
        ("bleu", 23.9, "BLEU: 23.900"),
    ],
)
def test_the_quality_is_written_as_the_suites_scripts_do(metric, value, line):
    from engine.published.accuracy import quality_in

    quality = {"metric": metric, "value": value, "count": 1000, "unit": "%"}
    assert quality_line(quality) == line
    assert quality_in(line) == value
