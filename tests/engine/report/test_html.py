"""The reports: whole pages that need nothing but themselves and say what the record says."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from engine.report import markdown
from engine.report.content import constraints, limits, shortfalls
from engine.report.files import run_text
from engine.report.html import run_page, write_report
from engine.report.summary import edition_rows, why_not
from engine.report.timeline import batch_plot, latency_timeline_plot, read_timeline
from multirun.summary import rows

SIMULATED = ("sut=simulated", "tracking=none", "scenario.min_duration_s=5", "report=true")
SPREAD = ("scenario=single_stream", "sut.spread=0.2")
BATCHED = ("sut.workers=2", "sut.batch=[1,8]", "sut.service_ms=[4,12]", "sut.max_batch=8")


class Balanced(HTMLParser):
    """Counts tags, and fails where they do not nest."""

    VOID = ("meta", "br", "hr", "img", "link", "input")

    def __init__(self):
        super().__init__()
        self.open, self.counts, self.text = [], {}, []

    def handle_starttag(self, tag, attrs):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parsed(page):
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    return parser


@pytest.mark.parametrize(
    ("overrides", "pictures"),
    [
        (("scenario=server", *BATCHED), 4),
        (SPREAD, 2),
        (("scenario=multi_stream", "sut.spread=0.2"), 2),
        (("scenario=offline", *BATCHED), 2),
    ],
)
def test_each_scenario_has_its_pictures_and_parts(reported, overrides, pictures):
    record, _, page = reported(*overrides)
    found = parsed(page)
    assert found.counts["svg"] == pictures
    text = " ".join(found.text)
    for word in (
        "Constraints",
        "Editions of the rules",
        "Run it again",
        "System",
        record["verdict"],
    ):
        assert word in text
    assert record["command"] in text
    assert all(row["measured"] in text for row in record["performance"]["constraints"])


def test_nothing_is_loaded_from_anywhere(reported):
    _, _, page = reported("scenario=server", *BATCHED)
    assert "default-src 'none'" in page
    assert not re.search(r"<(script|link|img|iframe|object|embed)\b|@import|\bsrc=", page)
    addresses = re.findall(r'(?:xlink:href|href)="([^"]*)"|url\(([^)]*)\)', page)
    assert all((a or b).startswith("#") for a, b in addresses)


def test_what_a_record_holds_is_text_and_never_markup(reported):
    record, folder, _ = reported(*SPREAD)
    evil = "<script>alert(1)</script>\"'&"
    record["message"] = record["command"] = record["system"]["processor"] = evil
    record["config"]["model"]["name"] = evil
    page = run_page(record, folder)
    assert "<script" not in page
    assert parsed(page).counts.get("script") is None


def test_the_limit_of_a_valid_peak_is_its_latency(reported):
    record, _, page = reported("scenario=server", *BATCHED)
    (said,) = limits(record)
    assert said.startswith("It is limited by p99 latency: ") and "10 ms is required" in said
    assert re.search(r"\. At [\d.]+ queries/s it was missed\.$", said)
    assert f'<p class="limit">{said.replace("<", "&lt;")}</p>' in page


@pytest.mark.parametrize(
    ("overrides", "of"),
    [(SPREAD, "speed."), (("scenario=offline", *BATCHED), "speed, in batches of 8.00 samples (at")],
)
def test_without_a_bound_it_is_the_systems_own_speed(reported, overrides, of):
    (said,) = limits(reported(*overrides)[0])
    assert said.startswith("No bound limits it: the figure is the system's own " + of)


def test_hints_have_a_column_where_there_are_any(reported):
    record, _, page = reported("scenario=server", *BATCHED)
    assert "hint" not in page
    rows = record["performance"]["constraints"]
    rows[-1] |= {"passed": False, "hint": "be quicker"}
    header, _, first, *_ = constraints(rows, markdown).strip().splitlines()
    assert "hint" in header
    assert rows[-1]["name"] in first


def test_what_was_missed_comes_first(reported):
    record, _, page = reported("search=none", "scenario.target_qps=2000")
    assert record["verdict"] == "INVALID"
    assert any(said.startswith("p99_latency was missed: <= 10 ms") for said in limits(record))
    assert 'class="badge INVALID"' in page
    *_, overload = limits(record)
    assert re.match(r"2,000 samples/s came and [\d.,]+ were answered: the system cannot", overload)
    assert page.index('class="missed"') < page.index('class="limit"') < page.index("Constraints")


def test_a_missed_quality_and_a_failed_audit_are_named_wherever_a_result_is(reported):
    record, folder, _ = reported(*SPREAD)
    target = {"reference": 80.0, "ratio": 0.99, "required": 79.2, "passed": False}
    quality = {"value": 78.0, "unit": "%", "name": "top-1", "metric": "top1_percent", "note": ""}
    record["accuracy"] = {"quality": quality, "target": target}
    audit = {"audit": "caching", "outcome": "FAIL", "sentence": "It keeps answers."}
    record |= {"audits": [audit], "audit_seed": 1}
    assert list(shortfalls(record)) == [
        "The quality was missed: >= 79.200 %, 99% of FP32's, measured 78.00 % top-1.",
        "The audit caching says FAIL: It keeps answers.",
    ]
    for text in (run_page(record, folder), run_text(record)):
        assert "The quality was missed" in text
    assert why_not(record) == "quality, audit caching"
    assert rows([record])[0]["missed"] == "quality; audit caching"


def test_the_figure_of_a_search_for_streams_is_their_number(reported):
    record, _, _ = reported(*SPREAD)
    record["search"] = {"best_qps": 20.0, "best_streams": 7}
    assert rows([record])[0]["value"] == 7


def test_editions_that_say_the_same_share_a_line():
    unknown = {"name": "model", "measured": "gnmt"}
    said = [
        {"edition": "v0_5", "met": True, "missed": []},
        *({"edition": name, "met": False, "missed": [unknown]} for name in ("v1_0", "v4_0")),
    ]
    assert list(edition_rows(said)) == [
        ("v0_5", "met by this run"),
        ("v1_0, v4_0", "does not have gnmt"),
    ]


def test_five_runs_are_a_table(reported):
    record, _, page = reported(
        "search=none",
        "scenario.target_qps=100",
        "rules=v4_0",
        "model=resnet50",
        "rules.server_runs=2",
    )
    assert len(record["performance"]["runs"]) == 2
    assert "Runs, of which the worst counts" in page


def test_a_record_without_arrays_or_statistics_still_has_a_report(reported, tmp_path):
    record, _, _ = reported("sut.service_ms=[50]", "scenario=server")
    assert record["performance"]["statistics"] is None  # the bound cannot be met at any rate
    page = write_report(record, tmp_path).read_text()
    assert "unloaded_latency was missed" in page
    record["performance"] = None
    assert "Run it again" in run_page(record, tmp_path)


def test_no_report_where_none_is_wanted(engine):
    ended = engine(*SIMULATED, "report=false", "scenario=single_stream", quickly=())
    assert ended.code == 0
    assert not [*ended.folder.glob("runs/**/report.*"), *ended.folder.glob("runs/**/summary.csv")]
    assert engine("report=maybe").code == 3


def test_a_report_that_fails_loses_nothing(engine, monkeypatch):
    def broken(record, folder):
        raise RuntimeError("no ink")

    monkeypatch.setattr("engine.report.html.write_report", broken)
    ended = engine(*SIMULATED, "scenario=single_stream", quickly=())
    assert (ended.code, ended.record["verdict"]) == (0, "VALID")
    assert "no report was written (RuntimeError: no ink)" in ended.err


def test_a_sweep_has_one_with_links_to_its_runs(engine, monkeypatch):
    ended = engine("-m", *SIMULATED, "scenario=single_stream", "sut.workers=1,2", quickly=())
    assert ended.code == 0
    (path,) = ended.folder.glob("runs/sweep_*/report.html")
    page = path.read_text()
    assert parsed(page).counts["svg"] == 1
    targets = re.findall(r'<a href="([^"]*)"', page)
    assert len(targets) == 2
    assert all((path.parent / target).is_file() for target in targets)


def arrays(path, **changes):
    log = {
        "scheduled_ns": np.array([0, 10, 20]),
        "first_sample": np.array([0, 2, 3]),
        "completed_ns": np.array([5, 9, 30, -1]),
        "taken_ns": np.array([0, 0, 10, 20]),
    }
    np.savez(path, **{**log, **changes})


def test_a_query_is_answered_with_its_last_sample(tmp_path):
    arrays(tmp_path / "log.npz")
    timeline = read_timeline(tmp_path / "log.npz")
    np.testing.assert_allclose(timeline.latency_ms, [9e-6, 20e-6, np.nan])
    taken, sizes = timeline.batches
    assert (taken.tolist(), sizes.tolist()) == ([0, 10, 20], [2, 1, 1])
    assert batch_plot(timeline) is not None


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"text"])
def test_damaged_arrays_are_none(tmp_path, content):
    path = tmp_path / "log.npz"
    assert read_timeline(path) is None
    path.write_bytes(content)
    assert read_timeline(path) is None


def test_arrays_that_do_not_fit_together_are_none(tmp_path):
    arrays(tmp_path / "log.npz", first_sample=np.array([0, 2, 9]))
    assert read_timeline(tmp_path / "log.npz") is None


def test_many_queries_are_drawn_as_percentiles(tmp_path):
    count = 20_000
    at = np.arange(count) * 1_000_000
    arrays(
        tmp_path / "log.npz",
        scheduled_ns=at,
        first_sample=np.arange(count),
        completed_ns=at + np.random.default_rng(0).integers(1, 10**7, count),
        taken_ns=at,
    )
    timeline = read_timeline(tmp_path / "log.npz")
    figure = latency_timeline_plot(timeline, {"performance": {"settings": {"bound_ms": 10.0}}})
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].get_lines()}
    assert lines["p50"].mean() == pytest.approx(5, rel=0.05)
    assert lines["p99"].mean() == pytest.approx(9.9, rel=0.05)
    assert all(len(data) <= 120 for name, data in lines.items() if name.startswith("p"))


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no Chromium")
def test_a_browser_shows_it(reported, tmp_path):
    _, folder, _ = reported(*SPREAD)
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'b'}"]
    page = (folder / "report.html").absolute().as_uri()
    shown = subprocess.run(
        ["chromium", *options, "--dump-dom", page], capture_output=True, text=True, timeout=120
    )
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count("<svg") == 2
