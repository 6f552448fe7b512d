"""Load generation: traffic, clocks, records and verdicts.

It knows samples and time. It knows nothing of models, files of a data set, accuracy, config
or tracking, and can be used alone:

    log = loadgen.run(settings, library, sut)
    verdict = loadgen.judge(log)
"""

from loadgen._queries import Batch, Queries
from loadgen.constraint import Constraint
from loadgen.log import Ending, RunLog
from loadgen.meter import Meter
from loadgen.progress import Progress, Watch
from loadgen.runner import run
from loadgen.samples import LoadedSet, SampleLibrary
from loadgen.settings import Arrivals, Issue, Mode, Scenario, Settings
from loadgen.sut import SimulatedSystem, SystemUnderTest
from loadgen.tenants import JointVerdict, Tenant, TenantWatch, judge_tenants, run_tenants
from loadgen.tokens import TokenStatistics
from loadgen.verdict import Metric, Statistics, Verdict, judge

__all__ = (
    "Arrivals",
    "Batch",
    "Constraint",
    "Ending",
    "Issue",
    "JointVerdict",
    "LoadedSet",
    "Meter",
    "Metric",
    "Mode",
    "Progress",
    "Queries",
    "RunLog",
    "SampleLibrary",
    "Scenario",
    "Settings",
    "SimulatedSystem",
    "Statistics",
    "SystemUnderTest",
    "Tenant",
    "TenantWatch",
    "TokenStatistics",
    "Verdict",
    "Watch",
    "judge",
    "judge_tenants",
    "run",
    "run_tenants",
)
