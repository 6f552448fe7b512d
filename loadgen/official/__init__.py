"""The log files of the official LoadGen, written from a finished run.

Existing parsers, checkers and audit scripts read them. They hold nothing that the run log and
its verdict do not say, and name this program wherever the format names its author.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from loadgen.files import atomically
from loadgen.log import RunLog
from loadgen.official.accuracy import accuracy_blocks
from loadgen.official.detail import detail_lines
from loadgen.official.figures import figures
from loadgen.official.run import FinishedRun
from loadgen.official.summary import summary_lines
from loadgen.official.trace import trace_blocks
from loadgen.verdict import Verdict

__all__ = ("write_logs",)


def write_logs(
    folder: Path,
    log: RunLog,
    verdict: Verdict,
    *,
    sut_name: str,
    library_name: str,
    total_count: int,
    performance_count: int,
    trace: bool = False,
    prefix: str = "mlperf_log_",
    suffix: str = "",
) -> tuple[Path, ...]:
    """Write the accuracy, detail and summary logs, and the trace if wanted; their paths.

    ``total_count``, ``performance_count``: samples of the library, and of one loaded set.
    The summary comes last and each file appears whole: with it on disk, all of them are.
    Raises ValueError for a prefix or suffix that would leave ``folder``, TypeError for a response
    that is a Python object and has no bytes.
    """
    run = FinishedRun(log, verdict, sut_name, library_name, total_count, performance_count)
    measured = figures(run)
    contents: dict[str, Callable[[], Iterable[str | bytes]]] = {
        "accuracy.json": lambda: accuracy_blocks(log),
        "detail.txt": lambda: detail_lines(run, measured),
        "summary.txt": lambda: summary_lines(run, measured),
    }
    if trace:
        contents = {"trace.json": lambda: trace_blocks(log), **contents}
    files = {_path(folder, prefix, suffix, name): parts for name, parts in contents.items()}
    for file, parts in files.items():
        with atomically(file) as out:
            for part in parts():
                out.write(part.encode(errors="replace") if isinstance(part, str) else part)
    return tuple(files)


def _path(folder: Path, prefix: str, suffix: str, name: str) -> Path:
    stem, ending = name.split(".")
    file = f"{prefix}{stem}{suffix}.{ending}"
    if Path(file).name != file or "\\" in file or "\0" in file:
        raise ValueError(f"{file!r}: prefix and suffix may not hold path separators")
    return folder / file
