"""Faults that every reader of weights is tried with."""

import numpy as np
import pytest


@pytest.fixture
def damaged():
    """``damaged(whole, step, count)``: ``whole`` cut off every ``step`` bytes, and ``count`` times
    with one byte replaced."""

    def made(whole, step, count):
        draw = np.random.default_rng(0)
        broken = [whole[:n] for n in range(0, len(whole), step)]
        for _ in range(count):
            changed = bytearray(whole)
            changed[draw.integers(len(whole))] = draw.integers(256)
            broken.append(bytes(changed))
        return broken

    return made
