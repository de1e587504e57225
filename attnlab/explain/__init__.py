"""Looking into a trained network: its maps, what happens without them, and whether they are faithful."""

from attnlab.attention import to_spatial
from attnlab.explain.inspection import Inspection, inspect_images
from attnlab.explain.open_run import OpenError, OpenRun, open_run

__all__ = [
    "Inspection",
    "OpenError",
    "OpenRun",
    "inspect_images",
    "open_run",
    "to_spatial",
]
