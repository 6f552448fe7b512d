"""Pieces of a self-contained HTML page: everything that comes from a record is escaped."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Nothing may be loaded from anywhere; styles and pictures are in the page.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
BADGES = ("met", "MISSED", "VALID", "INVALID", "FAILED", "PASS", "FAIL", "UNDECIDED")
STYLE = """
:root { --ink: #1d2430; --soft: #5a6472; --line: #dde2e8; --good: #2a7f62; --bad: #b23a48; }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); margin: 0 auto; padding: 2rem;
  max-width: 1080px }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.05rem; margin: 2.2rem 0 .6rem }
.metric { font-size: 2.2rem; font-weight: 650; margin: .3rem 0 }
.badge { display: inline-block; padding: .1rem .7rem; border-radius: 1rem; color: #fff;
  font-size: 1rem; font-weight: 600; vertical-align: middle; background: var(--soft) }
.VALID, .met, .PASS { background: var(--good) }
.INVALID, .FAILED, .MISSED, .FAIL { background: var(--bad) }
.missed, .limit { border-left: 3px solid var(--bad); padding: .2rem .8rem; font-weight: 600 }
.limit { border-color: var(--soft) }
.soft { color: var(--soft) } .note { border-left: 3px solid #c08a1e; padding: .2rem .8rem }
table { border-collapse: collapse; width: 100%; font-size: .9rem }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere }
th { text-align: left; color: var(--soft); font-weight: 500; overflow-wrap: normal }
td:first-child, th:first-child { overflow-wrap: normal; white-space: nowrap }
td.mark { white-space: nowrap } td .badge { font-size: .78rem; padding: 0 .5rem }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap: 1rem }
figure { margin: 0; max-width: 620px } figure svg { width: 100%; height: auto }
figcaption { color: var(--soft) }
pre { background: #f5f7f9; padding: .8rem; overflow-x: auto; font-size: .82rem;
  white-space: pre-wrap; overflow-wrap: anywhere }
details > summary { cursor: pointer; color: var(--soft) }
@media (max-width: 560px) { .pictures { grid-template-columns: 1fr } body { padding: 1rem } }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page with its parts, which are HTML."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body>\n</html>\n"
    )


def heading(text: str) -> str:
    """The heading of a part."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    return f'<p class="{kind}">{escape(text)}</p>'


def badge(text: str) -> str:
    """A word on a colour of its own."""
    return f'<span class="badge {escape(text)}">{escape(text)}</span>'


def code(text: str) -> str:
    """Text as it stands."""
    return f"<pre>{escape(text)}</pre>"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of plain texts; a cell that is one of ``BADGES`` becomes one.

    One whose header has no text has none.
    """
    head = "".join(f"<th>{escape(name)}</th>" for name in header) if any(header) else ""
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    if value in BADGES:
        return f'<td class="mark">{badge(str(value))}</td>'
    return f"<td>{escape('-' if value is None else str(value))}</td>"


def folded(label: str, inner: str) -> str:
    """Something that is shown when it is asked for."""
    return f"<details><summary>{escape(label)}</summary>{inner}</details>"


def picture(figure: Figure | None, caption: str) -> str:
    """A figure as SVG inside the page; empty without one."""
    if figure is None:
        return ""
    import matplotlib

    text = io.StringIO()
    figure.axes[0].set_title("")
    # Names inside a page must differ from picture to picture.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": caption}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"
