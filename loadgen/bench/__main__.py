"""Run the cases in fresh processes, in turn, and print medians and ratios."""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys

from loadgen.bench.cases import CASES

HIGHER = "queries/s"
"""The figure that is better when higher; of all others less is better."""
SYSTEMS = ("python", "native", "official")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m loadgen.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="processes per case and system")
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--one", nargs=2, metavar=("CASE", "SYSTEM"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(figures(*asked.one)))
        return 0
    print(f"{'case':24} {'figure':10} {'python':>12} {'native':>12} {'official':>12} {'ratio':>8}")
    for case in asked.only:
        show(case, measure(case, asked.rounds))
    print("Medians. Official: its Python module. Ratio: how many times better ours in Python is.")
    return 0


def figures(case: str, system: str) -> dict[str, float]:
    """The figures of one case, measured in this process."""
    if system == "official":
        from loadgen.bench.official import CASES as THEIRS

        return THEIRS[case]()
    return CASES[case](system == "native")


def measure(case: str, rounds: int) -> dict[str, dict[str, float]]:
    """Medians by system, each round running the systems in turn."""
    from loadgen.bench.official import CASES as THEIRS

    installed = importlib.util.find_spec("mlperf_loadgen") is not None
    systems = [s for s in SYSTEMS if s != "official" or (installed and case in THEIRS)]
    found: dict[str, list[dict[str, float]]] = {system: [] for system in systems}
    for _ in range(rounds):
        for system in systems:
            command = [sys.executable, "-m", "loadgen.bench", "--one", case, system]
            ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found[system].append(json.loads(ended.stdout.splitlines()[-1]))
    return {
        system: {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        for system, runs in found.items()
    }


def show(case: str, found: dict[str, dict[str, float]]) -> None:
    """One line for each figure."""
    for name, ours in found["python"].items():
        official = found.get("official", {}).get(name)
        cells = (ours, found["native"][name], official)
        texts = [f"{'-' if cell is None else f'{cell:,.4g}':>12}" for cell in cells]
        better = ours / official if official and name == HIGHER else (official or 0) / (ours or 1)
        ratio = f"{better:.3g}" if official and ours else "-"
        print(f"{case:24} {name:10} {' '.join(texts)} {ratio:>8}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
