"""A network ready to be run: its file and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
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
    made different in it, "" if nothing.
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

    @property
    def fixed_batch(self) -> int | None:
        """The only batch size that the network takes, None if it takes any."""
        shape = self.inputs[0].shape
        return shape[0] if shape else None
