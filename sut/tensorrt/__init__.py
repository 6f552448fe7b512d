"""Networks on NVIDIA GPUs by TensorRT, from the same ONNX file.

Preparing the file, choosing profiles and keeping engines need no GPU (``signed``, ``engine``);
TensorRT and CuPy are imported only when a ``TensorRtSut`` is made.
"""

from sut.tensorrt.sut import TensorRtSut

__all__ = ("TensorRtSut",)
