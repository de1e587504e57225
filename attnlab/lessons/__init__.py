"""Lessons and questions as data files: what they may hold, how they are read and checked, and what was answered."""
