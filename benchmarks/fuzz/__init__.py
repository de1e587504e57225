"""Bad input of every kind before one judge: accepted, or one plain message. See `benchmarks.fuzz.__main__`."""
