"""Runs on disk: their folders (the truth), checkpoints and metrics, and the index of all runs of a home."""
