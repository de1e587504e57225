"""The network of a run as a file that a browser can run: `exported`, or a `NotExportedError` that says why not."""

from attnlab.explain.in_browser.export import MOST_BYTES, MOST_OPERATIONS, exported, kept_export
from attnlab.explain.in_browser.tape import NotExportedError

__all__ = ["MOST_BYTES", "MOST_OPERATIONS", "NotExportedError", "exported", "kept_export"]
