"""Findings, and what to do about each kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from engine.published.entry import Finding

ADVICE = {
    "file": "Put the file there as the run wrote it",
    "link": "Put the file itself in its place; nothing else was read",
    "size": "Name the tree of one submission; nothing else was read",
    "error": "Find the cause, then repeat the run",
    "invalid": "Repeat the run until it is VALID, at a lower load or for longer",
    "disagreement": "Logs must be as the run wrote them: put them there again or repeat the run",
    "rules": "Repeat the run under the rules of the round",
    "description": "Complete the document",
    "accuracy": "Repeat the accuracy run, and put its log and accuracy.txt there together",
    "scenario": "Measure what is asked for, or submit to the open division",
    "unasked": "Take them out, or submit to the open division",
    "audit": "Make the audit again with the same system and settings",
    "edited": "Put the file there that was listed, or repeat the run",
}
LONGEST = 400


def sentences(findings: Iterable[Finding]) -> Iterator[str]:
    """Each finding once: where, what, and what to do. Names from the tree are made printable."""
    seen = set()
    for finding in findings:
        what = plain(finding.message).rstrip(".")
        text = f"{plain(finding.path)}: {what}. {ADVICE[finding.kind]}."
        if text not in seen:
            seen.add(text)
            yield text


def plain(text: str) -> str:
    """``text`` on one line, shortened, without anything that a terminal would obey."""
    shown = " ".join(text.split())[:LONGEST]
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown)
