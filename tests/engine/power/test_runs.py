"""Energy in whole runs: from a tree of counters to the record and everything shown of it."""

import csv
import time

import pytest

from engine.power.rapl import Rapl
from engine.report.summary import energy_text
from engine.tracking import metrics_of
from multirun.summary import as_csv, rows

RANGE_UJ = 100_000_000


@pytest.fixture
def counting(tmp_path, monkeypatch):
    """``power.root=`` of a package that takes 20 W, whose counter starts again every 5 s."""
    zone = tmp_path / "powercap" / "intel-rapl:0"
    zone.mkdir(parents=True)
    files = {"name": "package-0", "max_energy_range_uj": RANGE_UJ, "energy_uj": 0}
    for name, content in files.items():
        (zone / name).write_text(f"{content}\n")

    def read_uj(rapl):
        (zone / "energy_uj").write_text(f"{int(time.monotonic() * 20e6) % RANGE_UJ}\n")
        return read(rapl)

    read = Rapl.read_uj
    monkeypatch.setattr(Rapl, "read_uj", read_uj)
    return "power=rapl", f"power.root={zone.parent}", "power.idle_s=0.1"


SHORT = ("sut=null", "sut.delay_us=500", "scenario.min_duration_s=0.3")


def test_a_run_says_what_it_took_everywhere(engine, counting):
    ended = engine(*SHORT, "scenario=single_stream", "report=true", *counting)
    assert ended.code == 0, ended.err
    record = ended.record
    energy = record["performance"]["energy"]
    assert energy["average_power_w"] == pytest.approx(20, rel=0.5)
    assert record["idle_power_w"] == pytest.approx(20, rel=0.5)
    count = record["performance"]["statistics"]["query_count"]
    assert energy["energy_per_query_j"] == pytest.approx(energy["energy_j"] / count)
    assert energy["energy_per_sample_j"] == energy["energy_per_query_j"]
    text = energy_text(record)
    assert "J per sample" in text and "estimated by rapl, not wall power" in text
    assert text in " ".join(ended.out.split())
    (page,) = ended.folder.glob("runs/**/report.html")
    assert text in page.read_text() and "package-0" in page.read_text()
    (row,) = csv.DictReader(as_csv(rows([record])).splitlines())
    assert float(row["average_power_w"]) == energy["average_power_w"]
    metrics = metrics_of(record)
    assert metrics["energy_per_sample_j"] == energy["energy_per_sample_j"]
    assert metrics["idle_power_w"] == record["idle_power_w"]


def test_a_search_records_the_energy_of_the_run_that_counts(engine, counting):
    ended = engine(*SHORT, "scenario=server", "scenario.bound_ms=20", *counting)
    performance = ended.record["performance"]
    energy, statistics = performance["energy"], performance["statistics"]
    answered = energy["energy_j"] / energy["energy_per_sample_j"]
    assert answered == pytest.approx(statistics["sample_count"])
    assert energy["duration_s"] == pytest.approx(statistics["duration_s"], abs=0.5)


def test_without_power_there_is_none(engine):
    record = engine(*SHORT, "scenario=single_stream").record
    assert "energy" not in record["performance"]
    assert energy_text(record) == ""
    assert rows([record])[0]["average_power_w"] is None


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("sut=null", "power=rapl", "power.root=nowhere"), "no processor package"),
        (("sut=null", "power=nvml"), "sut=null runs on none"),
        (("sut=simulated", "power=rapl"), "a simulated system takes no energy"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_is(engine, overrides, words):
    ended = engine("scenario=single_stream", *overrides)
    assert ended.code == 3
    assert words in ended.err and ended.err.count("\n") == 1
    assert ended.record["performance"] is None


def test_a_counter_lost_on_the_way_loses_nothing_but_the_energy(engine, counting, monkeypatch):
    reads = iter(range(100))
    read = Rapl.read_uj

    def lost(self):
        if next(reads) > 2:
            raise OSError("gone")
        return read(self)

    monkeypatch.setattr(Rapl, "read_uj", lost)
    ended = engine(*SHORT, "scenario=single_stream", *counting)
    assert ended.code == 0
    assert ended.record["performance"]["energy"]["error"] == "OSError: gone"
    assert "not known: rapl could not be read (OSError: gone)" in " ".join(ended.out.split())
    assert "energy_j" not in metrics_of(ended.record)
