"""Audits as a part of a benchmark: what they find decides its verdict, and is said and kept."""

from types import SimpleNamespace

import pytest

from engine.audit.finding import Finding, Outcome
from engine.job import _submit
from engine.report.content import shortfalls

TINY = (
    "mode=audit",
    "model=mobilenet",
    "model.width=0.25",
    "model.size=32",
    "precision=fp32",
    "scenario=offline",
    "sut.max_batch=4",
    "audit.seconds=0.05",
    "audit.seed=7",
)
SENTENCE = "One sample is 1.080 (0.900 to 1.300, 4 pairs) times as fast; too noisy to tell"


@pytest.mark.parametrize(
    ("outcome", "code", "says"),
    [
        (Outcome.PASS, 0, ""),
        (Outcome.UNDECIDED, 2, "UNDECIDED, which is no pass"),
        (Outcome.FAIL, 2, "FAIL"),
    ],
)
def test_only_what_passes_or_does_not_apply_is_valid(engine, monkeypatch, outcome, code, says):
    def audit(name, found):
        def made(rig):
            log = rig.run(rig.settings(), "audit: one run")
            return Finding(name, found, f"{SENTENCE}."), log

        return made

    audits = {"caching": outcome, "seeds": Outcome.NOT_APPLICABLE}
    runs = {name: audit(name, found) for name, found in audits.items()}
    monkeypatch.setattr("engine.audit.audits.RUNS", runs)
    ended = engine(*TINY, "audit.tests=[caching,seeds]")
    record = ended.record
    assert (ended.code, record["verdict"]) == (code, "INVALID" if code else "VALID"), ended.err
    assert [each["outcome"] for each in record["audits"]] == [outcome, "NOT APPLICABLE"]
    assert record["audits"][0]["sentence"] == f"{SENTENCE}." and record["audit_seed"] == 7
    assert f"caching {outcome}: {SENTENCE}." in ended.err
    (folder,) = ended.folder.glob("runs/**/audits/caching")
    assert (folder / "mlperf_log_detail.txt").is_file()
    missed = [f"The audit caching says {says}: {SENTENCE}."] if code else []
    assert list(shortfalls(record)) == missed


@pytest.mark.slow
def test_all_the_audits_of_a_real_network_are_made(engine):
    ended = engine(*TINY, "audit.pairs=2", "audit.max_pairs=2")
    assert ended.code in (0, 2)
    found = {each["audit"]: each["outcome"] for each in ended.record["audits"]}
    assert list(found) == ["same_answers", "caching", "seeds", "own_data", "load_generator"]
    assert found["same_answers"] == "PASS" and "FAIL" not in found.values()
    assert ended.code == 2 * ("UNDECIDED" in found.values())


@pytest.mark.parametrize("outcome", ["UNDECIDED", "FAIL"])
def test_a_closed_submission_names_the_audit_that_keeps_it_out(configured, outcome, tmp_path):
    config = configured("submission.division=closed", f"submission.path={tmp_path / 'tree'}")
    audit = {"audit": "caching", "outcome": outcome, "sentence": f"{SENTENCE}."}
    data = {
        "performance": {"constraints": [{"name": "answers", "passed": True}]},
        "accuracy": None,
        "audits": [{**audit, "audit": "seeds", "outcome": "PASS"}, audit],
        "verdict": "INVALID",
    }
    told = []
    speed = SimpleNamespace(valid=True)
    code = _submit(config, SimpleNamespace(data=data), speed, SimpleNamespace(say=told.append))
    assert code == 0 and not (tmp_path / "tree").exists()
    (said,) = told
    head, line = said.splitlines()
    assert head == "not added to the submission, for the result is INVALID:"
    assert line.startswith(f"  The audit caching says {outcome}") and line.endswith(f"{SENTENCE}.")
