"""What an audit found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """Passed, failed, too little data to tell, or nothing there that could be judged."""

    PASS = "PASS"
    FAIL = "FAIL"
    UNDECIDED = "UNDECIDED"
    NOT_APPLICABLE = "NOT APPLICABLE"


@dataclass(frozen=True)
class Finding:
    """An audit's outcome, the sentence that says what it rests on, and the figures in it."""

    audit: str
    outcome: Outcome
    sentence: str
    figures: Mapping[str, float | int | str] = field(default_factory=dict)
