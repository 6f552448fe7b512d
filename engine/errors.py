"""The errors a user can cause, each with the exit code the program ends with."""

from __future__ import annotations


class TailboundError(Exception):
    """Base of every error that ends in one message and no traceback."""

    exit_code = 1


class ConfigError(TailboundError):
    """The configuration, or a file that it names, cannot be used as given."""

    exit_code = 3


class SutError(TailboundError):
    """The system under test could not be built, or failed while it was measured."""

    exit_code = 4


VALID = 0
INVALID = 2
INTERRUPTED = 130
