"""Weights of public reference implementations, under the names used there, and safe opening of checkpoint files."""

from attnlab.interop import blocks, gates, mixing, networks, report, transformers  # noqa: F401  (they register their parameter names)
from attnlab.interop._names import ReferenceMismatch, load_reference
from attnlab.interop._reference import Reference, UnknownReference
from attnlab.interop._sets import TOP
from attnlab.interop.checkpoint import Checkpoint, CheckpointRefused, open_checkpoint
from attnlab.interop.imagenet import WeightsUnavailable, load_imagenet_features, start_weights
from attnlab.interop.references import REFERENCES, open_reference, recognise, reference_config

__all__ = [
    "REFERENCES",
    "TOP",
    "Checkpoint",
    "CheckpointRefused",
    "Reference",
    "ReferenceMismatch",
    "UnknownReference",
    "WeightsUnavailable",
    "load_imagenet_features",
    "load_reference",
    "open_checkpoint",
    "open_reference",
    "recognise",
    "reference_config",
    "start_weights",
]
