"""The exit codes of this command's benchmarks: it ends with the gravest of them."""

from __future__ import annotations

from engine.errors import INVALID, VALID, ConfigError, SutError
from engine.signals import EXIT_CODES

# From the gravest to the mildest; 1 is a fault of this program.
GRAVITY = (*EXIT_CODES, 1, ConfigError.exit_code, SutError.exit_code, INVALID, VALID)

_codes: list[int] = []


def begin() -> None:
    """Forget the codes of an earlier command in this process."""
    _codes.clear()


def count(*codes: int) -> None:
    """Exit codes of benchmarks that have ended, in whichever process."""
    _codes.extend(codes)


def interrupted() -> bool:
    """Whether one was ended by a signal, as by Ctrl-C: then no further one begins."""
    return not set(EXIT_CODES).isdisjoint(_codes)


def gravest() -> int:
    """The exit code of the command."""
    return min(_codes, key=GRAVITY.index, default=VALID)
