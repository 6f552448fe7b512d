"""Measure a system's throughput through the load generator beside a bare loop over its runtime."""

from __future__ import annotations

import argparse
import sys

from sut.bench import cpu


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sut.bench", description=__doc__)
    cpu.add_arguments(parser)
    cpu.show(parser.parse_args())
    return 0


if __name__ == "__main__":
    sys.exit(main())
