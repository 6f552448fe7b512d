"""Pieces of Markdown (GitHub's): everything that comes from a record is text, and no markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def joined(parts: Iterable[str]) -> str:
    """Parts with an empty line between them."""
    return "\n\n".join(part for part in parts if part) + "\n"


def heading(text: str) -> str:
    """The heading of a part."""
    return f"## {plain(text)}"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text; one that is to be noted stands apart."""
    # What would begin a heading, a list or a quotation at the start of a line.
    line = re.sub(r"^(?=[#>+=-])|^(\d+)(?=[.)] )", r"\1\\", plain(text))
    return f"> {line}" if kind == "note" else line


def code(text: str) -> str:
    """Text as it stands, between more backticks than it has itself."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text.rstrip()}\n{fence}"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of plain texts."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def folded(label: str, inner: str) -> str:
    """There is nothing to unfold: its label, and what it is."""
    return f"{plain(label)}:\n\n{inner}"


def plain(text: str) -> str:
    """Text that is nothing but text: one line, without markup or HTML."""
    text = re.sub(r"<(?=[\w/!?])", "&lt;", " ".join(text.split()).replace("&", "&amp;"))
    return re.sub(r"([\\`*\[\]|~])|(?<!\w)(_)|(_)(?!\w)", r"\\\1\2\3", text)


def _cell(value: object) -> str:
    if value == "---":
        return "---"
    return "-" if value is None else plain(str(value))
