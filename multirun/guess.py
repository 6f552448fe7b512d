"""A first guess of the peak from the queueing of a single server."""

from __future__ import annotations

import math

from scipy.optimize import brentq


def poisson_peak_qps(
    service_s: float, bound_s: float, over_share: float, servers: int = 1
) -> float:
    """Rate at which about ``over_share`` of Poisson arrivals stay longer than ``bound_s``.

    Each of ``servers`` takes ``service_s`` for a query; several are treated as one that is so
    many times as fast. 0 if one query alone takes longer than the bound.
    """
    slack_s = bound_s - service_s
    if slack_s <= 0:
        return 0.0
    step_s = service_s / servers

    def excess(load: float) -> float:
        return log_late_share(load, slack_s / step_s) - math.log(over_share)

    lowest, highest = 1e-6, 1 - 1e-6
    if excess(lowest) >= 0:
        return 0.0
    if excess(highest) <= 0:
        return highest / step_s
    return float(brentq(excess, lowest, highest, xtol=1e-4)) / step_s


def log_late_share(load: float, services: float) -> float:
    """Logarithm of the share of M/D/1 arrivals that wait for more than ``services`` services.

    Exact below one service; above it the Cramer-Lundberg asymptote C exp(-y services), where y
    solves load (exp(y) - 1) = y: close in the tail, where it is used.
    """
    if services < 1:
        return math.log(1 - (1 - load) * math.exp(load * services))
    lowest = math.log(1 / load)
    highest = lowest + 1.0
    while load * math.expm1(highest) < highest:
        highest += 1.0
    decay = brentq(lambda y: load * math.expm1(y) - y, lowest, highest)
    return min(0.0, math.log((1 - load) / (decay + load - 1)) - decay * services)
