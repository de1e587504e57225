"""The queue of a home.

A background thread (`manager`) starts the workers (`executors`) and follows the active runs (`follower`).
"""
