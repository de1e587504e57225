"""Surgery on attention: `operations` says what may be done to a map, `effect` what that does to predictions."""
