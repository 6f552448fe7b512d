"""``python -m engine.published``: the command line is in ``engine.published.command``."""

import sys

from engine.__main__ import run_installed

if __name__ == "__main__":
    run_installed("engine.published")

    from engine.published.command import main

    sys.exit(main())
