"""What load generation costs: ours beside the official LoadGen, case by case.

    python -m loadgen.bench                 # all cases, medians of 3 fresh processes each
    python -m loadgen.bench --rounds 1 --only server_rate offline

The official one is measured where its package is installed (extra ``bench``).
"""
