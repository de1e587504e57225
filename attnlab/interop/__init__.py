"""Weights of the public reference implementations, under their own names."""

from attnlab.interop import blocks, report  # noqa: F401  (they register their names)
from attnlab.interop._names import ReferenceMismatch, load_reference

__all__ = ["ReferenceMismatch", "load_reference"]
