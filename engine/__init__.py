"""The engine wires one benchmark: config, model, data, system under test, load, verdict, record.

Its figures come from loadgen, multirun and evaluators; it computes none of its own.
"""

__version__ = "0.1.0"
