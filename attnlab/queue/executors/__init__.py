"""Executors start the worker, one file each; `base` says what an executor is, `make` chooses one."""
