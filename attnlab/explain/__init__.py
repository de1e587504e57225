"""Looking into a trained network: its maps, what happens without them, and whether they are faithful."""

from attnlab.explain.inspection import Features, Inspection, channel_features, inspect_images
from attnlab.explain.open_run import OpenError, OpenRun, open_run
from attnlab.training.snapshots import to_spatial

__all__ = [
    "Features",
    "Inspection",
    "OpenError",
    "OpenRun",
    "channel_features",
    "inspect_images",
    "open_run",
    "to_spatial",
]
