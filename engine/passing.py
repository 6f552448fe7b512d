"""How far a long step is: a message that the next one replaces."""

from __future__ import annotations

WIDTH = 24


class Passing(str):
    """A message that the next one replaces, where lines can be replaced."""

    __slots__ = ()


def bar(text: str, done: int, total: int, per_s: float) -> Passing:
    """``text`` with a bar, ``done`` of ``total`` items, and the time left at ``per_s`` a second."""
    full = WIDTH * done // total
    left = f"  ETA {(total - done) / per_s:.0f} s" if per_s > 0 else ""
    return Passing(f"{text}  {'━' * full}{'─' * (WIDTH - full)}  {done:,} of {total:,}{left}")
