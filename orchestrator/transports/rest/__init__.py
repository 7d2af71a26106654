"""REST and server-sent events: each request is one envelope in a channel of its own, given to the engine.

`routes` is the one table that serving, metrics and `/openapi.json` are made from.
"""
