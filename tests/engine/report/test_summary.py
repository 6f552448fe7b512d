"""The tables of the command line, on a terminal of 80 columns and on a pipe."""

from io import StringIO

from rich.console import Console

from engine.report.summary import _constraints, show

ROWS = [
    {
        "name": "punctual_generator",
        "required": "<= 1.0% of wake-ups over 2 ms late",
        "measured": "3.70% (40 of 1,074)",
        "passed": False,
        "hint": "The machine is busy: leave it alone, or set scenario.spin_us to wait awake.",
    },
    {
        "name": "p99_latency",
        "required": "<= 10 ms",
        "measured": "9.192 ms",
        "passed": True,
        "hint": "",
    },
]


def test_a_narrow_terminal_breaks_no_name():
    console = Console(file=StringIO(), width=80)
    console.print(_constraints(ROWS))
    lines = console.file.getvalue().splitlines()
    assert [line.split()[0] for line in lines if line[:1].strip()] == [
        "constraint",
        "punctual_generator",
        "p99_latency",
    ]


def test_what_is_piped_ends_with_its_last_word(capsys):
    show(_constraints(ROWS))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[2].startswith("p99_latency ") and lines[2].endswith("  met")
    assert lines == [line.rstrip() for line in lines]
