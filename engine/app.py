"""The command line: Hydra composes, this module decides what the exit code says."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING

from engine import codes, signals
from engine.arguments import hydra_arguments, misnamed, misused
from engine.errors import ConfigError
from engine.paths import conf_dir

if TYPE_CHECKING:
    from omegaconf import DictConfig


def job(composed: DictConfig) -> None:
    """One benchmark. It never raises, so that a sweep goes on with its other jobs.

    After Ctrl-C, or a signal like it, those are left out.
    """
    if codes.interrupted():
        return
    from engine.job import run_job
    from engine.sweep import leave_code

    try:
        code = run_job(composed)
    except Exception:  # a fault of this program: the traceback is for its makers
        traceback.print_exc()
        code = 1
    codes.count(code)
    leave_code(code)


@signals.heeded()
def main() -> int:
    """Run the command line; the exit code of the program."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from engine.help import help_text, is_wanted
    from engine.refusal import file_being_read, plainly, unreadable

    codes.begin()
    arguments = sys.argv[1:] = hydra_arguments(sys.argv[1:])
    if problem := misused(arguments) or misnamed(arguments):
        return _refuse(problem)
    # Hydra then raises what it would print over many lines and leave with 1.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    entry = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(job)
    try:
        if is_wanted(arguments):
            print(help_text(arguments), flush=True)
        else:
            entry()
    except (HydraException, OmegaConfBaseException) as error:
        return _refuse(plainly(error, arguments))
    except BrokenPipeError:  # `| head` has read enough: say nothing more, not at the end either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (YAMLError, OSError, ValueError) as error:
        if file := file_being_read(error):
            return _refuse(unreadable(file, error))
        if isinstance(error, ValueError):  # from Hydra, which does not say where
            return _refuse(f"{plainly(error, arguments)} in: {' '.join(arguments)}")
        key = "sweep" if {"-m", "--multirun"} & set(arguments) else "run"
        return _refuse(f"{error}. Set hydra.{key}.dir=FOLDER to one that can be written.")
    except SystemExit as leaving:
        # The argument parser has said what is wrong and left.
        if leaving.code not in (0, None):
            return ConfigError.exit_code
    except KeyboardInterrupt:
        print(f"{signals.interrupted()}.", file=sys.stderr)
        return signals.exit_code()
    return codes.gravest()


def _refuse(problem: str) -> int:
    print(f"error: {problem}", file=sys.stderr)
    return ConfigError.exit_code
