"""Intervals, significance and power: the only room that knows statistics.

`intervals` says where a mean, a share or a difference lies, `significance` whether a difference is more than chance,
`power` how many runs it would take to show one, and `ranks` measures agreement in order. No function draws random numbers
without a fixed seed, so equal figures give equal answers.
"""
