"""Stores on a server that a test harms, and what they say then."""

import contextlib
from collections.abc import AsyncIterator

import pytest

from orchestrator.stores.redis import RedisStore
from replwire.errors import WireError
from support.cutting_proxy import CuttingProxy


@contextlib.asynccontextmanager
async def connected(url: str, **options) -> AsyncIterator[RedisStore]:
    """A store, closed at the end."""
    store = RedisStore(url, **options)
    try:
        yield store
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def behind_proxy(server, **options) -> AsyncIterator[tuple[RedisStore, CuttingProxy]]:
    """A store whose answers can be lost."""
    proxy = CuttingProxy(server.folder / "proxy", server.socket)
    await proxy.start()
    try:
        async with connected(f"unix://{proxy.path}", **options) as store:
            yield store, proxy
    finally:
        await proxy.stop()


@contextlib.contextmanager
def away(cause: str):
    """What is inside fails as `store_unavailable`, with a time to try again."""
    with pytest.raises(WireError) as raised:
        yield
    assert (raised.value.code, raised.value.details["cause"]) == ("store_unavailable", cause)
    assert raised.value.retry_after_ms
