"""The signals that end a benchmark: SIGTERM and SIGHUP do so as Ctrl-C does."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

HEEDED = (signal.SIGTERM, signal.SIGHUP)
EXIT_CODES = tuple(128 + number for number in (signal.SIGINT, *HEEDED))
"""With which a program ends that one of them has ended."""

_came: list[signal.Signals] = []


@contextmanager
def heeded() -> Iterator[None]:
    """Let them raise KeyboardInterrupt in the main thread, from which this must be called.

    One that is ignored (``nohup``) or has another handler stays as it is.
    """
    _came.clear()
    ours = [number for number in HEEDED if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _came.append(signal.Signals(number))
    raise KeyboardInterrupt


def exit_code() -> int:
    """The exit code after an interruption: 130 after Ctrl-C."""
    return 128 + (_came[0] if _came else signal.SIGINT)


def interrupted() -> str:
    """What happened, as a sentence begins."""
    return f"Ended by {_came[0].name}" if _came else "Interrupted"
