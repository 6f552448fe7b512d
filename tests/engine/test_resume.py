"""An interrupted search goes on from its probes."""

import json

import pytest

from engine.resume import Kept
from multirun.search import Load, Outcome, Probe

PROBE = Probe(100.0, "probe", Outcome.FAIL, 12.0, 30, 900, 120.0, 9.0)
CONFIRM = Probe(90.0, "confirm", Outcome.PASS, 9.0, 3, 900, 3.0, 10.0)


def load(probe, factor=1.0):
    return Load(probe.rate_qps * factor, probe.kind, 0.1, 3.0)


@pytest.fixture
def path(tmp_path):
    kept = Kept(tmp_path / "searches" / "one.json")
    kept.begin({"unloaded_ms": 2.0})
    kept.add(PROBE)
    kept.add(CONFIRM)
    return kept.path


def test_probes_are_reused_in_their_order_and_marked(path):
    kept = Kept(path)
    assert kept.facts == {"unloaded_ms": 2.0}
    assert kept.reusable == 2
    reused = kept.next(load(PROBE))
    assert reused.reused
    assert reused.rate_qps == PROBE.rate_qps
    assert reused.outcome is Outcome.FAIL


def test_a_run_that_confirmed_is_made_again(path):
    kept = Kept(path)
    kept.next(load(PROBE))
    assert kept.next(load(CONFIRM)) is None


def test_another_rate_ends_the_reuse(path):
    kept = Kept(path)
    assert kept.next(load(PROBE, 1.01)) is None
    assert kept.next(load(PROBE)) is None


def test_what_is_not_reused_yet_survives_a_second_interruption(path):
    Kept(path).begin({"unloaded_ms": 2.0})
    assert Kept(path).reusable == 2


def test_a_finished_search_leaves_nothing(path):
    Kept(path).done()
    assert Kept(path).reusable == 0
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "[]", '{"facts": {}}', '{"facts": {}, "probes": [{}]}'])
def test_a_damaged_file_starts_anew_with_a_warning(path, text, caplog):
    path.write_text(text)
    assert Kept(path).reusable == 0
    assert "damaged" in caplog.text


def test_probes_are_plain_numbers_on_disk(path):
    kept = json.loads(path.read_text())
    assert kept["probes"][0]["outcome"] == "FAIL"
    assert kept["probes"][1]["kind"] == "confirm"
