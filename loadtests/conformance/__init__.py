"""The doctests of CPython's standard library, run example by example through real sessions.

Nobody here wrote them. `extract` runs inside a session and finds them in the Python that will run them; `compare` is
doctest's own judgement of what a session shows; `reasons.toml` is the reviewed table of what may differ, and why.
"""
