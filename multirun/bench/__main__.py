"""Search simulated systems for their peak, in two ways, and print how true and how dear it was."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from multirun.bench.methods import Answer, bisected, ceiling_qps, searched
from multirun.bench.systems import SYSTEMS
from multirun.bench.truth import Truth, truth

METHODS = {"search": searched, "bisection": bisected}
WITHIN, AFFORDABLE = 0.02, 2.5


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m multirun.bench", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="searches of each system")
    parser.add_argument("--only", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))
    asked = parser.parse_args()
    print(
        f"{'system':10} {'peak qps':>8} {'method':10} {'error %: mean':>13} {'worst':>6}"
        f" {'run lengths: mean':>18} {'worst':>6} {'passes again':>12} {'good':>7}"
    )
    for name in asked.only:
        make = SYSTEMS[name]
        true = truth(make, ceiling_qps(make(0)))
        for method, find in METHODS.items():
            answers = [find(make, seed) for seed in range(1, asked.seeds + 1)]
            print(f"{name:10} {true.peak_qps:8.1f} {method:10} {row(true, answers)}", flush=True)
    print(f"good: within {WITHIN:.0%} of the peak for at most {AFFORDABLE:g} run lengths.")
    print("peak: a run under the rules passes with probability one half; passes again: how likely")
    print("another full run at the answer passes. Rules: p99 <= 15 ms, 600 s, early stopping 99 %.")
    return 0


def row(true: Truth, answers: Sequence[Answer]) -> str:
    """The figures of one method on one system."""
    found = [answer for answer in answers if answer.peak_qps is not None]
    rates = np.array([answer.peak_qps for answer in found], dtype=float)
    errors, costs = rates / true.peak_qps - 1, np.array([a.run_lengths for a in answers])
    again = np.mean([true.pass_probability(rate) for rate in rates]) if found else 0.0
    affordable = np.array([answer.run_lengths <= AFFORDABLE for answer in found])
    good = int(((np.abs(errors) <= WITHIN) & affordable).sum())
    worst = errors[np.abs(errors).argmax()] if found else np.nan
    return (
        f"{errors.mean():13.2%} {worst:6.2%} {costs.mean():18.2f} {costs.max():6.2f}"
        f" {again:12.0%} {good:3} of {len(answers)}"
    )


if __name__ == "__main__":
    sys.exit(main())
