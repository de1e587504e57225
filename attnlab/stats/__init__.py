"""Intervals, significance and power: the only room that knows statistics."""
