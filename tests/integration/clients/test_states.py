"""The Python client and the states of a session: gone back to, copied, pinned, taken away as a file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bascule import (
    AsyncClient,
    AsyncSession,
    Client,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    RolledBack,
    RolledBackError,
    SessionGoneError,
)
from support.server import TOKEN
from support.stage_door import StageDoor, stage_door

KEY = b"e" * 32


async def prepared(client: AsyncClient) -> AsyncSession:
    """A session whose `x` was 1, 2 and 3."""
    session = await client.open()
    for number in (1, 2, 3):
        await session.run(f"x = {number}")
    return session


async def test_a_session_goes_back_and_on() -> None:
    """The client's idea of the last commit goes along; what is not kept is said with what is."""
    async with stage_door() as door, AsyncClient(TOKEN, door.url) as client:
        session = await prepared(client)
        done = await session.rewind(1)
        assert (done.seq, done.to, done.unsaved, session.seq, session.etag) == (4, 1, {}, 4, done.etag)
        assert (await session.run("x")).text == "1"
        assert await session.states() == [1, 2, 3, 4, 5]
        with pytest.raises(NotFoundError) as caught:
            await session.rewind(99)
        assert caught.value.details["kept"] == [1, 2, 3, 4, 5]
        assert [entry.type for entry in await session.history()] == ["eval"] * 3 + ["rewind", "eval"]


async def test_what_runs_is_rolled_back() -> None:
    """Whoever waits for it hears why, and so does whoever listens."""
    heard: list[object] = []
    async with stage_door() as door, AsyncClient(TOKEN, door.url) as client:
        session = await prepared(client)
        other = await client.attach(session.id, on_event=heard.append)
        waiting = asyncio.create_task(session.run("import time; time.sleep(60)"))
        await _running(door, session.id)
        await other.rewind(2)
        with pytest.raises(RolledBackError) as caught:
            await waiting
        assert caught.value.details["cause"] == "rewind"
        assert [event.cause for event in heard if isinstance(event, RolledBack)] == ["rewind"]
        assert (await session.run("x")).text == "2"


async def _running(door: StageDoor, session: str) -> None:
    async with asyncio.timeout(20):
        while door.stage.live(session).requests.running() is None:
            await asyncio.sleep(0.005)


async def test_forks_are_sessions_of_their_own() -> None:
    """A fork that was entered is closed in the end; the session that it came from is not."""
    async with stage_door() as door, AsyncClient(TOKEN, door.url) as client:
        session = await prepared(client)
        async with await session.fork(2, name="b") as fork:
            assert fork.id != session.id and (await fork.run("x += 10; x")).text == "12"
            async with await fork.fork() as second:
                assert (await second.run("x")).text == "12"
        with pytest.raises(SessionGoneError):
            await client.attach(fork.id)
        assert (await session.run("x")).text == "3"


async def test_sessions_begin_with_a_pinned_state() -> None:
    """By name, by number, or with the last state."""
    async with stage_door() as door, AsyncClient(TOKEN, door.url) as client:
        session = await prepared(client)
        pin = await session.pin("lesson-1", 2)
        assert (pin.name, pin.seq, await session.pins()) == ("lesson-1", 2, [pin])
        for asked, expected in (({"pin": "lesson-1"}, "2"), ({"seq": 1}, "1"), ({}, "3")):
            async with client.open(from_=session.id, **asked) as begun:
                assert (await begun.run("x")).text == expected
        await session.unpin("lesson-1")
        with pytest.raises(NotFoundError):
            await session.unpin("lesson-1")
        with pytest.raises(InvalidRequestError):
            await client.open(pin="lesson-1")
        with pytest.raises(InvalidRequestError):
            await client.open(from_=session.id, seq=1, pin="a")


async def test_a_session_travels_as_a_file(tmp_path: Path) -> None:
    """Fetched, and given to a server again; one that did not come to its end leaves nothing behind."""
    async with stage_door(export_key=KEY) as door, AsyncClient(TOKEN, door.url) as client:
        session, file = await prepared(client), tmp_path / "book.bascule"
        size_bytes = await client.export_session(session.id, file)
        assert size_bytes == file.stat().st_size and [path.name for path in tmp_path.iterdir()] == [file.name]
        copied = await client.import_session(file)
        assert (copied.seq, copied.origin) == (3, session.id)
        async with client.attach(copied.session) as again:
            assert (await again.run("x")).text == "3"
        with pytest.raises(NotFoundError):
            await client.export_session("ses_none", tmp_path / "none")
        file.write_bytes(file.read_bytes()[:-1])
        with pytest.raises(InvalidRequestError) as caught:
            await client.import_session(file)
        assert caught.value.details["cause"] == "truncated"
        assert [path.name for path in tmp_path.iterdir()] == [file.name]


async def test_a_server_without_an_export_key_says_so(tmp_path: Path) -> None:
    """With the name of the setting."""
    async with stage_door() as door, AsyncClient(TOKEN, door.url) as client:
        session = await prepared(client)
        with pytest.raises(ForbiddenError, match=r"keys\.export"):
            await client.export_session(session.id, tmp_path / "a")
        assert not list(tmp_path.iterdir())


async def test_the_same_without_asyncio(tmp_path: Path) -> None:
    """Each of them."""

    def work(url: str) -> None:
        with Client(TOKEN, url) as client, client.open() as session:
            for number in (1, 2):
                session.run(f"x = {number}")
            assert session.rewind(1).seq == 3
            assert session.states() == [1, 2, 3]
            assert session.pin("a", 2).seq == 2
            assert [pin.name for pin in session.pins()] == ["a"]
            with session.fork() as fork, client.open(from_=session.id, pin="a") as begun:
                assert (fork.run("x").text, begun.run("x").text) == ("1", "2")
            session.unpin("a")
            assert client.export_session(session.id, tmp_path / "a") > 0
            with client.attach(client.import_session(tmp_path / "a").session) as again:
                assert again.run("x").text == "1"

    async with stage_door(export_key=KEY) as door:
        await asyncio.to_thread(work, door.url)
