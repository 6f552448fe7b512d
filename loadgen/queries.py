"""Which kind of queries a traffic makes."""

from __future__ import annotations

from loadgen._closed import ClosedLoop
from loadgen._open import OpenLoop
from loadgen._queries import Queries
from loadgen._traffic import Traffic
from loadgen.settings import Settings


def queries_for(settings: Settings, traffic: Traffic) -> Queries:
    """The queries of ``traffic``: by its schedule, or one after the other where it has none."""
    kind = ClosedLoop if traffic.scheduled_ns is None else OpenLoop
    return kind(settings, traffic)
