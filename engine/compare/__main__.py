"""``python -m engine.compare``: the command line is in ``engine.compare.command``."""

import sys

from engine.__main__ import run_installed

if __name__ == "__main__":
    run_installed("engine.compare")

    from engine.compare.command import main

    sys.exit(main())
