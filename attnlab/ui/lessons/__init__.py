"""Lessons, predictions and questions on the screen."""
