"""The Melanoma page."""
