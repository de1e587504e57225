"""What starts the worker, one file per executor; `base` says what one is, `make` chooses one."""
