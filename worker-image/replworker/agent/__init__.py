"""The agent: the half of the worker that owns the socket, orders requests, numbers events and keeps the recent ones.

`core.Agent` decides: frames in, effects out, without sockets and without a clock. `loop` carries them out.
"""
