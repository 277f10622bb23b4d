"""Benchmarks: what this package does in a second and in a microsecond, each beside a peer or the physical limit, in one run.

``python -m bench NAME …`` runs them, ``make bench`` all of them; `harness` says how they measure. They are no tests: nothing
fails here because a machine is slow.
"""
