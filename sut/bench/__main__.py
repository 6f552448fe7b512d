"""Measure systems under test: the processor's, or with --gpu those of an NVIDIA device."""

from __future__ import annotations

import argparse
import sys


def main() -> int:
    """The command line."""
    which = argparse.ArgumentParser(add_help=False)
    which.add_argument("--gpu", action="store_true", help="the systems of an NVIDIA device")
    asked, _ = which.parse_known_args()
    if asked.gpu:
        from sut.bench import gpu as bench
    else:
        from sut.bench import cpu as bench  # type: ignore[no-redef]
    parser = argparse.ArgumentParser(
        prog="python -m sut.bench", description=bench.__doc__, parents=[which]
    )
    bench.add_arguments(parser)
    bench.show(parser.parse_args())
    return 0


if __name__ == "__main__":
    sys.exit(main())
