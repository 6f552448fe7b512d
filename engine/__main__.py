"""``python -m engine`` and the console script ``tailbound``."""

import os
import sys
from importlib import metadata
from pathlib import Path


def run_installed(module: str = "engine") -> None:
    """In a checkout without compiled modules, start again from the installed package.

    ``python -m`` looks into the current folder first, and a plain ``pip install .`` compiles
    nothing there. Returns where there is nothing to do.
    """
    beside = Path(__file__).parents[1] / "loadgen"
    if any(beside.glob("_queries.*.so")) or sys.flags.safe_path:
        return
    try:
        metadata.version("tailbound")
    except metadata.PackageNotFoundError:
        sys.exit("error: tailbound is not built: run `pip install .` first.")
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *sys.argv[1:]])


if __name__ == "__main__":
    run_installed()

    from engine.app import main

    sys.exit(main())
else:
    from engine.app import main

__all__ = ("main",)
