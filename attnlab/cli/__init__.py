"""The command line: one file per command, what they share in `common`."""
