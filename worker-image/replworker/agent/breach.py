"""What the other sides can do wrong."""

from __future__ import annotations


class InterpreterBreach(Exception):
    """The interpreter (or a tenant who got at its socket) broke the protocol: it is killed, and the worker ends."""


class LinkBreach(Exception):
    """A front door broke the protocol: its link is dropped, the session goes on."""
