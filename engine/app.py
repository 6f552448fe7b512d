"""The command line: Hydra composes, this module decides what the exit code says."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from engine.errors import INTERRUPTED, VALID, ConfigError
from engine.paths import conf_dir

if TYPE_CHECKING:
    from omegaconf import DictConfig

# Exit codes from the gravest to the mildest: a sweep ends with the gravest of its jobs.
GRAVITY = (INTERRUPTED, ConfigError.exit_code, 4, 2, 1, VALID)

_codes: list[int] = []


def job(composed: DictConfig) -> None:
    """One benchmark. It never raises for what a user can mend, so that a sweep goes on."""
    from engine.job import run_job

    _codes.append(run_job(composed))


def main() -> int:
    """Run the command line; the exit code of the program."""
    import hydra

    _codes.clear()
    sys.argv[1:] = hydra_arguments(sys.argv[1:])
    entry = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(job)
    try:
        entry()
    except SystemExit as leaving:
        # Hydra has said what is wrong with the command line and left with 1.
        if leaving.code not in (0, None) and not _codes:
            return ConfigError.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    return gravest(_codes)


def gravest(codes: list[int]) -> int:
    """The exit code of a command that ran several benchmarks."""
    return min(codes, key=GRAVITY.index, default=VALID)


def hydra_arguments(arguments: list[str]) -> list[str]:
    """``arguments`` as Hydra wants them.

    ``-m`` may stand anywhere, and ``sut=null`` names the null system, where Hydra would read a
    missing value.
    """
    multirun = [argument for argument in arguments if argument in ("-m", "--multirun")]
    others = [argument for argument in arguments if argument not in multirun]
    null = re.compile(r"(?<=[=,])null(?=,|$)")
    return multirun + [
        null.sub("'null'", argument) if argument.startswith("sut=") else argument
        for argument in others
    ]
