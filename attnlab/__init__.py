"""attnlab: a visual laboratory for attention in image classification."""

__version__ = "0.1.0"
