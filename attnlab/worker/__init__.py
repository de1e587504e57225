"""Trains runs, and writes only into their folders.

`main` is the worker process, `session` one attempt at a run or at several seeds together, `attempt` what an attempt
writes while it trains, `seeds` which queued runs can be trained together, `priority` and `openmp` how a worker gives way
to other programs.
"""
