"""Load, speed and conformance of a running Bascule, measured from outside over loopback.

`python -m loadtests` is the benchmark, `python -m loadtests.conformance` runs the standard library's doctests. Nothing
here is imported by the server or its tests' subjects, and every run is bounded in count and in time.
"""
