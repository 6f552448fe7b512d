"""A network ready to be run: its file and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a network; ``dtype`` by NumPy's name, None for a dynamic dimension."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Artefact:
    """An ONNX file that a system under test can load.

    ``path``: a file in the cache, or the user's own; ``sha256`` that of its content (external
    data included). ``variant``: what makes it differ from the reference network, "" if nothing
    does. ``parameters`` and ``operations`` (for one sample, None if unknown) are those
    of the network before quantisation. ``output``: the one output to run. ``weights``: "seeded",
    "fitted", or the name and sha256 of the file they came from. ``quantisation``: what this machine
    made different in it, and what is to be known of its calibration, "" if nothing.
    ``calibrated_on_evaluated``: how many of its calibration samples are evaluated too.
    """

    name: str
    precision: str
    path: Path
    sha256: str
    parameters: int
    operations: int | None
    inputs: tuple[TensorSpec, ...]
    output: TensorSpec
    weights: str
    variant: str = ""
    quantisation: str = ""
    calibrated_on_evaluated: int = 0

    def calibrated(self, evaluated: int, count: int) -> Artefact:
        """The same, ``evaluated`` of its ``count`` calibration samples being evaluated too."""
        if not evaluated:
            return self
        verb = "is" if evaluated == 1 else "are"
        note = f"{evaluated} of the {count} calibration images {verb} evaluated too"
        how = f"{self.quantisation}; {note}" if self.quantisation else note
        return replace(self, quantisation=how, calibrated_on_evaluated=evaluated)

    @property
    def fixed_batch(self) -> int | None:
        """The only batch size that the network takes, None if it takes any."""
        shape = self.inputs[0].shape
        return shape[0] if shape else None
