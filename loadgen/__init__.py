"""Load generation: traffic, clocks, records and verdicts.

It knows samples and time. It knows nothing of models, files of a data set, accuracy, config
or tracking, and can be used alone:

    log = loadgen.run(settings, library, sut)
    verdict = loadgen.judge(log)
"""

from loadgen._queries import Batch, Queries
from loadgen.constraint import Constraint
from loadgen.log import Ending, RunLog
from loadgen.runner import Progress, run
from loadgen.samples import LoadedSet, SampleLibrary
from loadgen.settings import Arrivals, Issue, Mode, Scenario, Settings
from loadgen.sut import SystemUnderTest
from loadgen.tokens import TokenStatistics
from loadgen.verdict import Metric, Statistics, Verdict, judge

__all__ = (
    "Arrivals",
    "Batch",
    "Constraint",
    "Ending",
    "Issue",
    "LoadedSet",
    "Metric",
    "Mode",
    "Progress",
    "Queries",
    "RunLog",
    "SampleLibrary",
    "Scenario",
    "Settings",
    "Statistics",
    "SystemUnderTest",
    "TokenStatistics",
    "Verdict",
    "judge",
    "run",
)
