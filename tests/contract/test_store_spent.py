"""Every store: a nonce is used up once, by one of those who try, whichever front door they are."""

import asyncio
import secrets

import pytest

from support.stores import behind_proxy, connected


async def test_a_nonce_is_spent_once(store):
    """The second time it is refused; another nonce is not."""
    nonce, further = secrets.token_hex(12), secrets.token_hex(12)
    assert await store.spend(nonce, 30)
    assert not await store.spend(nonce, 30)
    assert await store.spend(further, 30)


@pytest.mark.redis
async def test_front_doors_share_what_is_spent(make_server):
    """A ticket that one of them took is no good at another."""
    url = make_server().url
    async with connected(url) as one, connected(url) as other:
        assert await one.spend("0f" * 12, 30)
        assert not await other.spend("0f" * 12, 30)


@pytest.mark.redis
async def test_a_repetition_after_a_lost_answer_is_ones_own(make_server):
    """The server did it, its answer was lost on the way: who asks again has not been robbed by himself."""
    async with behind_proxy(make_server()) as (store, proxy):
        assert await store.spend("0f" * 12, 30)
        proxy.lose_replies = 1
        assert await store.spend("f0" * 12, 30)


async def test_of_many_at_once_one_wins(store):
    """The store decides, not the order in which answers come."""
    nonce = secrets.token_hex(12)
    assert sorted(await asyncio.gather(*(store.spend(nonce, 30) for _ in range(20)))) == [False] * 19 + [True]


async def test_a_spent_nonce_is_forgotten_after_its_time(store):
    """Memory of it is bounded: by then the ticket that it came with is over."""
    nonce = secrets.token_hex(12)
    assert await store.spend(nonce, 1)
    await asyncio.sleep(1.2)
    assert await store.spend(nonce, 1)


@pytest.mark.parametrize("text", ["", "*", "x}:{y", "0f" * 7])
async def test_what_is_no_nonce_is_refused(store, text):
    """It never becomes a key."""
    with pytest.raises(ValueError, match="not a nonce"):
        await store.spend(text, 30)
