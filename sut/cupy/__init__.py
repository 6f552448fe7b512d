"""Image classifiers on NVIDIA GPUs: an ONNX file run by CuPy, cuDNN and kernels of our own.

Reading a network, folding and planning need no GPU (``graph``, ``steps``, ``arena``); CuPy and
the cuDNN frontend are imported only when a ``CupySut`` is made.
"""

from sut.cupy.sut import CupySut

__all__ = ("CupySut",)
