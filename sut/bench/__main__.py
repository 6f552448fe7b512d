"""Measure systems under test: the processor's, an NVIDIA device's (--gpu) or simulated ones."""

from __future__ import annotations

import argparse
import sys
from types import ModuleType


def main() -> int:
    """The command line."""
    which = argparse.ArgumentParser(add_help=False)
    others = which.add_mutually_exclusive_group()
    others.add_argument("--gpu", action="store_true", help="the systems of an NVIDIA device")
    others.add_argument("--simulated", action="store_true", help="fleets in virtual time")
    asked, _ = which.parse_known_args()
    bench: ModuleType
    if asked.gpu:
        from sut.bench import gpu as bench
    elif asked.simulated:
        from sut.bench import simulated as bench
    else:
        from sut.bench import cpu as bench
    parser = argparse.ArgumentParser(
        prog="python -m sut.bench", description=bench.__doc__, parents=[which]
    )
    bench.add_arguments(parser)
    bench.show(parser.parse_args())
    return 0


if __name__ == "__main__":
    sys.exit(main())
