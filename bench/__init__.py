"""Benchmarks: `python -m bench`. Ratios are taken side by side in one run against what a user would do instead.

They are tracked, not gates: no test depends on a duration.
"""
