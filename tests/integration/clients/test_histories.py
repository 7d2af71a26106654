"""What the Python client makes of a session that says less than it was told before: a lag, or a loss."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bascule import AsyncClient, AsyncSession, Event, Reconnected, SessionError
from support.lagging import LaggingDoor, lagging_door
from support.network import network
from support.redis_server import RedisServer
from support.server import TOKEN, Server

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis]

PATIENCE_S = 30


class Back:
    """Hears when the client has come back."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def __call__(self, event: Event) -> None:
        """What `on_event` is called with."""
        if isinstance(event, Reconnected):
            self.event.set()


@asynccontextmanager
async def through(door_or_server: LaggingDoor | Server, back: Back) -> AsyncIterator[AsyncSession]:
    """A session with three commits."""
    async with (
        AsyncClient(TOKEN, door_or_server.url, reconnect_first_s=0.05, reconnect_delay_max_s=0.2) as client,
        client.open(on_event=back) as session,
    ):
        for number in range(3):
            await session.run(f"n = {number}")
        yield session


@pytest.mark.parametrize("status", [200, 403, 404])
async def test_a_front_door_that_is_behind_is_no_alarm(embedded: Server, status: int):
    """The store has what was confirmed, or the client may not look: the session goes on where it was."""
    back = Back()
    async with lagging_door(embedded.url) as door, through(door, back) as session, asyncio.timeout(PATIENCE_S):
        door.reply, door.record_status = {"seq": 1, "etag": "older"}, status
        await door.hang_up()
        await back.event.wait()
        assert (await session.run("n")).text == "2"
        assert door.looks == 1


async def test_a_store_that_does_not_answer_is_asked_again(embedded: Server):
    """Nothing is decided by that."""
    back = Back()
    async with lagging_door(embedded.url) as door, through(door, back) as session, asyncio.timeout(PATIENCE_S):
        door.reply, door.record_status = {"seq": 1}, 503
        await door.hang_up()
        while door.looks < 2:
            await asyncio.sleep(0.02)
        assert not back.event.is_set()
        door.record_status = 200
        await back.event.wait()
        assert (await session.run("n")).text == "2"


async def test_a_front_door_that_is_up_to_date_is_not_asked_twice(embedded: Server):
    """The record is looked at only where the reply says too little."""
    back = Back()
    async with lagging_door(embedded.url) as door, through(door, back) as session, asyncio.timeout(PATIENCE_S):
        await door.hang_up()
        await back.event.wait()
        assert (await session.run("n")).text == "2"
        assert door.looks == 0


@pytest.mark.parametrize("is_continued", [False, True])
async def test_a_store_that_lost_commits_is_an_alarm(
    on_bubblewrap: Server, redis_server: RedisServer, tmp_path: Path, is_continued: bool
):
    """It comes back as it was a commit ago, and somebody may have gone on from there: nothing is answered as if that
    had not happened, and closing it is answered at once too."""
    async with (
        network(on_bubblewrap.url) as between,
        AsyncClient(TOKEN, between.url, reconnect_first_s=0.05, connect_timeout_s=2) as client,
        client.open() as session,
    ):
        await session.run("n = 1")
        await asyncio.to_thread(redis_server.settle)
        shutil.copytree(redis_server.folder, tmp_path / "older", ignore=shutil.ignore_patterns("s", "log"))
        await session.run("n = 2")
        between.cut()
        await on_bubblewrap.kill()
        await asyncio.to_thread(put_back, redis_server, tmp_path / "older")
        await on_bubblewrap.start()
        if is_continued:
            async with AsyncClient(TOKEN, on_bubblewrap.url) as others, others.attach(session.id) as other:
                assert (await other.run("n")).text == "1"
        between.mend()
        between.reset()
        with pytest.raises(SessionError, match="commit 2 was confirmed, and the session is at") as caught:
            async with asyncio.timeout(PATIENCE_S):
                await session.run("n")
        assert caught.value.code == "session_regressed"
        assert ("another history" in caught.value.message) == is_continued
        with pytest.raises(SessionError, match="commit 2 was confirmed"):
            await session.close()


def put_back(redis: RedisServer, older: Path) -> None:
    """The store's files are what they were."""
    redis.kill()
    shutil.rmtree(redis.folder / "appendonlydir")
    shutil.copytree(older, redis.folder, dirs_exist_ok=True)
    redis.start()
