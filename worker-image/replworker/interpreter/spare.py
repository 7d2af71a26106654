"""Descriptors that a tenant's code does not get, so that ours can still tell how it ended when it has used up all.

A tenant may raise his soft limit and take these too; then the worker can make no checkpoint and ends.
"""

from __future__ import annotations

from resource import RLIMIT_NOFILE, getrlimit, setrlimit

from replwire.hints import Final

SPARE: Final = 16


def keep_back() -> None:
    """The tenant's limit, below the hard one."""
    soft, hard = getrlimit(RLIMIT_NOFILE)
    if hard > 2 * SPARE:
        setrlimit(RLIMIT_NOFILE, (min(soft, hard - SPARE), hard))


def lend() -> None:
    """All of them, for a moment."""
    _, hard = getrlimit(RLIMIT_NOFILE)
    setrlimit(RLIMIT_NOFILE, (hard, hard))
