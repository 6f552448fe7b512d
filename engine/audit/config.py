"""Which audits are made, and how long."""

from __future__ import annotations

from dataclasses import dataclass

from engine.fields import limited

AUDITS = ("same_answers", "caching", "seeds", "own_data", "load_generator")


@dataclass(frozen=True)
class Audit:
    """Group ``audit``: what ``mode=audit`` does.

    ``seconds``: length of each comparing run. ``pairs``, ``max_pairs``: how many pairs of them at
    least, and at most. ``seed``: what the audits' seeds are drawn from, null for one that nobody
    knows before.
    """

    tests: list[str] = limited(list(AUDITS), choices=AUDITS)
    seconds: float = limited(4.0, at_least=0.05, at_most=3600)
    pairs: int = limited(4, at_least=2, at_most=100)
    max_pairs: int = limited(20, at_least=2, at_most=1000)
    seed: int | None = limited(None, at_least=0, at_most=2**63 - 1)
