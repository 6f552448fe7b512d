"""The official LoadGen's Python interface on top of this load generator.

    sys.modules["mlperf_loadgen"] = loadgen.mlperf

runs a program written for ``mlperf_loadgen``. Names, units and defaults are the official ones.
Different are: a failing or silent system ends a test INVALID and never hangs or crashes it,
Ctrl-C works, likely typing errors in config files are warned of, and what cannot be followed is
refused by name. ``outcomes`` and ``TestSettings.sut_timeout_ms`` are ours.
"""

from loadgen.mlperf.enums import LoggingMode, TestMode, TestScenario
from loadgen.mlperf.handles import (
    ConstructFastSUT,
    ConstructQDL,
    ConstructQSL,
    ConstructSUT,
    DestroyFastSUT,
    DestroyQDL,
    DestroyQSL,
    DestroySUT,
)
from loadgen.mlperf.phase import Outcome
from loadgen.mlperf.samples import (
    QuerySample,
    QuerySampleResponse,
    VectorQuerySample,
    VectorQuerySampleResponse,
)
from loadgen.mlperf.serving import FirstTokenComplete, QuerySamplesComplete
from loadgen.mlperf.settings import LogOutputSettings, LogSettings, TestSettings
from loadgen.mlperf.start import StartTest, StartTestWithLogSettings, outcomes

__all__ = (
    "ConstructFastSUT",
    "ConstructQDL",
    "ConstructQSL",
    "ConstructSUT",
    "DestroyFastSUT",
    "DestroyQDL",
    "DestroyQSL",
    "DestroySUT",
    "FirstTokenComplete",
    "LogOutputSettings",
    "LogSettings",
    "LoggingMode",
    "Outcome",
    "QuerySample",
    "QuerySampleResponse",
    "QuerySamplesComplete",
    "StartTest",
    "StartTestWithLogSettings",
    "TestMode",
    "TestScenario",
    "TestSettings",
    "VectorQuerySample",
    "VectorQuerySampleResponse",
    "outcomes",
)
