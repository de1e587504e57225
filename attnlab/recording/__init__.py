"""A training of one's own, recorded as a run that the app opens: `attnlab.Recorder`."""

from attnlab.recording.recorder import Recorder

__all__ = ["Recorder"]
