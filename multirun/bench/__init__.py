"""The search beside plain bisection, on simulated systems whose peak is known.

A program of its own: the only part of this package that knows a system.
"""
