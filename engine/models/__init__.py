"""Reference networks as ONNX files, built from code, and networks of the user's own.

This package knows nothing of scenarios, samples' files or systems under test. Importing it is
cheap: ONNX and ONNX Runtime are loaded by ``prepare``.
"""

from engine.models.artefact import Artefact, TensorSpec
from engine.models.prepare import check, prepare

__all__ = ("Artefact", "TensorSpec", "check", "prepare")
