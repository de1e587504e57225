"""Rooms: a class that works together for a lesson, found by a code of six letters, without names or accounts."""
