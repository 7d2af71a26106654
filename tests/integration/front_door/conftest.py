"""Every test here runs on both event loops: their transports are not the same, and both are served."""

from support.loops import pytest_asyncio_loop_factories

__all__ = ["pytest_asyncio_loop_factories"]
