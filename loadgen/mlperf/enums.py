"""Scenarios, modes and ways of logging under their official names and numbers."""

from __future__ import annotations

from enum import Enum


class _Number(Enum):
    def __int__(self) -> int:
        return int(self.value)

    __index__ = __int__


class TestScenario(_Number):
    """The traffic patterns."""

    __test__ = False

    SingleStream = 0
    MultiStream = 1
    Server = 2
    Offline = 3


class TestMode(_Number):
    """What a test is for."""

    __test__ = False

    SubmissionRun = 0
    AccuracyOnly = 1
    PerformanceOnly = 2
    FindPeakPerformance = 3


class LoggingMode(_Number):
    """When logs are written; here always at the end of a test, whichever is chosen."""

    AsyncPoll = 0
    EndOfTestOnly = 1
    Synchronous = 2
