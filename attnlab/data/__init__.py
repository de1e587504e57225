"""Data sets: drawn ones, torchvision's, folders and archives of images. `load_dataset` is the one way in."""

from attnlab.data._dataset import DataError, ImageDataset, Progress, Provenance, Split, hold_out, normalise

__all__ = ["DataError", "ImageDataset", "Progress", "Provenance", "Split", "hold_out", "normalise"]
