"""What is going on: one live line on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from engine.passing import Passing
from loadgen import Mode, Progress
from loadgen.progress import Watch

LIVE_INTERVAL_S = 0.25
PLAIN_INTERVAL_S = 5.0


class Reporter:
    """Says on stderr what is going on, so that stdout holds nothing but the summary."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, soft_wrap=True, highlight=False)
        self._live = Live(
            console=self.console, auto_refresh=False, transient=True, redirect_stdout=False
        )
        self._begin()

    def __enter__(self) -> Reporter:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """A line that stays; a passing one is replaced by the next, or comes seldom."""
        if isinstance(text, Passing):
            self._pass(text)
            return
        self.console.print(Text(text, style="dim"))
        sys.stderr.flush()

    def warn(self, text: str) -> None:
        """A line that stays and stands out."""
        self.console.print(Text(f"warning: {text}", style="yellow"))

    def follow(self, name: str, watch: Watch | None) -> Watch:
        """A watch that shows the run's progress and then asks ``watch`` whether to go on."""
        self._begin()

        def follow(progress: Progress) -> bool:
            if self._is_time():
                self._show(line(name, progress))
            return bool(watch and watch(progress))

        return follow

    def _begin(self) -> None:
        """What is shorter than the interval says nothing where lines stay."""
        self._shown_at = time.monotonic() if not self.console.is_terminal else 0.0

    def _pass(self, text: str) -> None:
        if self._is_time():
            self._show(str(text))

    def _is_time(self) -> bool:
        """Whether the last line has stood for long enough; asked before a new one is made."""
        now = time.monotonic()
        interval_s = LIVE_INTERVAL_S if self.console.is_terminal else PLAIN_INTERVAL_S
        if now - self._shown_at < interval_s:
            return False
        self._shown_at = now
        return True

    def _show(self, text: str) -> None:
        if self.console.is_terminal:
            self._live.update(Text(text), refresh=True)
        else:
            self.say(text)


def line(name: str, progress: Progress) -> str:
    """One line on a running run."""
    parts = [
        name,
        f"{progress.elapsed_s:.0f} s",
        f"issued {progress.issued:,}",
        f"done {progress.completed:,}",
        f"outstanding {progress.outstanding:,}",
    ]
    if progress.failed:
        parts.append(f"failed {progress.failed:,}")
    tail_ms = progress.recent_percentile_ms()
    if tail_ms is not None:
        parts.append(f"recent p{progress.settings.percentile:g} {tail_ms:.2f} ms")
    if (left_s := _eta_s(progress)) is not None:
        parts.append(f"ETA {left_s:.0f} s")
    return "  ".join(parts)


def _eta_s(progress: Progress) -> float | None:
    """Seconds left: by the schedule, by the minimum duration, or by the speed so far."""
    settings = progress.settings
    if progress.total is None:
        if settings.mode is Mode.ACCURACY:
            return None
        by_count = 0.0
        if progress.completed:
            wanted = settings.min_query_count * settings.samples_per_query - progress.completed
            by_count = progress.elapsed_s / progress.completed * wanted
        return max(0.0, by_count, settings.min_duration_ms / 1000 - progress.elapsed_s)
    scheduled_ns = progress.queries.traffic.scheduled_ns
    if scheduled_ns is not None and len(scheduled_ns) > 1:
        # A run that may extend itself is expected to end as planned, until it does not.
        planned = progress.queries.traffic.least_queries or len(scheduled_ns)
        last = scheduled_ns[min(len(scheduled_ns), max(planned, progress.issued)) - 1]
        waited_for = progress.elapsed_s / max(progress.completed, 1) * progress.outstanding
        return max(waited_for, float(last) / 1e9 - progress.elapsed_s)
    if not progress.completed:
        return None
    return progress.elapsed_s * (progress.total / progress.completed - 1)
