"""Is a map better than simple baselines? `measure` has the figures, `process` and `job` measure in the background."""
