"""Is a map better than simple baselines? `measure` compares them, `process` and `job` do it in the background."""
