"""How far a download is: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINE_EVERY_S = 5.0


@contextmanager
def progress(file_name: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
    """Yields a function to be told the bytes there so far; writes to standard error."""
    if sys.stderr.isatty():
        with _bar(file_name, total_bytes) as report:
            yield report
    else:
        yield _lines(file_name, total_bytes)


@contextmanager
def _bar(file_name: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
    from rich import progress as rich_progress
    from rich.console import Console
    from rich.markup import escape

    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.DownloadColumn(),
        rich_progress.TransferSpeedColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    with rich_progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(escape(file_name), total=total_bytes)
        yield lambda done: bar.update(task, completed=done)


def _lines(file_name: str, total_bytes: int) -> Callable[[int], None]:
    last_s = time.monotonic()

    def report(done_bytes: int) -> None:
        nonlocal last_s
        now_s = time.monotonic()
        if now_s - last_s >= LINE_EVERY_S or done_bytes == total_bytes:
            last_s = now_s
            print(
                f"{file_name}: {100 * done_bytes // total_bytes} % of {megabytes(total_bytes)}",
                file=sys.stderr,
                flush=True,
            )

    return report


def megabytes(size_bytes: int) -> str:
    """A size for people, in MB of 10**6 bytes."""
    return f"{size_bytes / 1e6:.1f} MB"
