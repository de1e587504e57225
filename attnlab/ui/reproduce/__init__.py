"""The Reproduce page."""
