"""The reports as Markdown and CSV: they say what the record says, and nothing of it is markup."""

import csv

import pytest

from engine.report import markdown
from engine.report.files import run_text
from engine.report.summary import metric_text

SIMULATED = ("sut=simulated", "tracking=none", "scenario.min_duration_s=5", "report=true")


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split(" | ")]


@pytest.mark.parametrize("scenario", ["server", "single_stream", "multi_stream", "offline"])
def test_it_says_what_the_page_says(reported, scenario):
    record, folder, _ = reported(f"scenario={scenario}", "sut.spread=0.2")
    text = (folder / "report.md").read_text()
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    for heading in ("Constraints", "Run", "Run it again", "System", "Configuration"):
        assert f"## {heading}" in headings
    assert metric_text(record) in text and record["command"] in text
    rows = [cells(line) for line in text.splitlines() if line.startswith("|")]
    for constraint in record["performance"]["constraints"]:
        (row,) = [row for row in rows if row[0] == constraint["name"]]
        assert row[1] == markdown.plain(constraint["required"])
        assert row[2] == markdown.plain(constraint["measured"])
        assert row[3] == ("met" if constraint["passed"] else "MISSED")


def test_every_table_is_whole(reported):
    text = run_text(reported("scenario=server", "sut.spread=0.2")[0])
    blocks = [block.splitlines() for block in text.split("\n\n")]
    tables = [block for block in blocks if block[0].startswith("|")]
    assert len(tables) > 4
    for lines in tables:
        assert set(cells(lines[1])) == {"---"}
        assert len({len(cells(line)) for line in lines}) == 1


def test_what_a_record_holds_is_text_and_never_markup(reported):
    record = reported("scenario=single_stream", "sut.spread=0.2")[0]
    evil = "<script>alert(1)</script> | [x](http://e) `a` **b**\n# c"
    record["message"] = record["system"]["processor"] = evil
    record["command"] = "echo ```\n# d"
    text = run_text(record)
    assert "<script" not in text and "[x](" not in text and "**b**" not in text
    assert "\n# c" not in text
    assert "````\necho ```\n# d\n````" in text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("p99_latency <= 10 ms", "p99_latency <= 10 ms"),
        ("<b> a </b> < c", "&lt;b> a &lt;/b> < c"),
        ("_under_ *star*", r"\_under\_ \*star\*"),
        ("AT&T", "AT&amp;T"),
    ],
)
def test_plain_text(text, plain):
    assert markdown.plain(text) == plain


@pytest.mark.parametrize(
    ("text", "paragraph"),
    [
        ("# no heading", r"\# no heading"),
        ("> 5", r"\> 5"),
        ("1. no list", r"1\. no list"),
        ("1.5 ms", "1.5 ms"),
    ],
)
def test_the_start_of_a_paragraph_begins_nothing_else(text, paragraph):
    assert markdown.paragraph(text) == paragraph


def test_a_run_has_its_row_and_a_sweep_all_of_them(engine):
    missed = ("scenario=server", "search=none", "scenario.target_qps=100,3000")
    ended = engine("-m", *SIMULATED, *missed, "scenario.bound_ms=5", quickly=())
    (folder,) = ended.folder.glob("runs/sweep_*")
    with (folder / "summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["verdict"] for row in rows] == ["VALID", "INVALID"]
    assert rows[0]["missed"] == "" and "p99_latency" in rows[1]["missed"].split("; ")
    own = []
    for file in sorted(folder.glob("*/summary.csv")):
        own += list(csv.DictReader(file.read_text().splitlines()))
    apart = [row.pop("overrides") for row in rows]
    assert apart == ["scenario.target_qps=100", "scenario.target_qps=3000"]
    assert [row.pop("overrides") for row in own] == ["", ""]
    assert own == rows
    assert all(overrides in ended.out for overrides in apart)
    text = (folder / "report.md").read_text()
    assert text.startswith("# Sweep of 2 runs") and "there is no total" in text
    assert "target_qps=3000 |" in text
    targets = [line.partition("](")[2].partition(")")[0] for line in text.splitlines()]
    found = [target for target in targets if target]
    assert len(found) == 2 and all((folder / target).is_file() for target in found)
