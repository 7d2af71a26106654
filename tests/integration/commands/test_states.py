"""`bascule session` and the states of one, as programs on a real server with a real Redis and real sandboxes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bascule import AsyncClient
from support.programs import run
from support.server import TOKEN, Server

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis]

EXPORT_KEY = "0f" * 32


@pytest.fixture
async def server(state: Path):
    """One with an export key."""
    made = Server(state / "state", "--embedded", "--set", f"keys.export={EXPORT_KEY}")
    await made.start()
    yield made
    await made.stop()


async def prepared(url: str) -> str:
    """A session whose `x` was 1, 2 and 3."""
    async with AsyncClient(TOKEN, url) as client:
        session = await client.open(name="book")
        for number in (1, 2, 3):
            await session.run(f"x = {number}")
        return session.id


async def value(url: str, session: str, code: str = "x") -> str:
    """What a session says."""
    done = await run(url, "exec", "-", "--session", session, stdin=f"{code}\n")
    assert done.status == 0, done.err
    return done.out.strip()


async def test_back_and_on(server: Server):
    """For people and for programs; a state that there is not is exit code 4."""
    session = await prepared(server.url)
    done = await run(server.url, "session", "rewind", session, "1")
    assert (done.status, done.out) == (0, f"{session} is as after 1; this is 4\n")
    assert await value(server.url, session) == "1"
    again = json.loads((await run(server.url, "session", "rewind", session, "2", "-o", "json")).out)
    assert (again["seq"], again["to"]) == (6, 2)
    missing = await run(server.url, "session", "rewind", session, "99")
    assert (missing.status, missing.out) == (4, "") and "kept are: 1, 2" in missing.err
    assert (await run(server.url, "session", "rewind", session, "0")).status == 2
    assert (await run(server.url, "session", "rewind", "ses_none", "1")).status == 4


async def test_forks_and_pins(server: Server):
    """The id is all that is printed, so that a script can go on with it."""
    session = await prepared(server.url)
    fork = (await run(server.url, "session", "fork", session, "--seq", "2", "--name", "b")).out.strip()
    assert await value(server.url, fork, "x + 40") == "42"
    told = json.loads((await run(server.url, "session", "fork", session, "-o", "json")).out)
    assert (told["seq"], told["status"], told["origin"]) == (3, "parked", session)
    assert (
        await run(server.url, "session", "pin", session, "lesson", "--seq", "1")
    ).out == "lesson is the state of 1\n"
    listed = (await run(server.url, "session", "states", session)).out
    assert [line.split() for line in listed.splitlines()] == [["seq", "pins"], ["1", "lesson"], ["2"], ["3"]]
    assert json.loads((await run(server.url, "session", "states", session, "-o", "json")).out)["states"] == [1, 2, 3]
    assert (await run(server.url, "session", "unpin", session, "lesson")).out == "lesson is let go of\n"
    assert (await run(server.url, "session", "unpin", session, "lesson")).status == 4


async def test_a_session_as_a_file(server: Server, tmp_path: Path):
    """Written once and not over what is there; read by a server with the same key."""
    session, file = await prepared(server.url), tmp_path / "book.bascule"
    done = await run(server.url, "session", "export", session, str(file))
    assert (done.status, done.out) == (0, f"{file}: {file.stat().st_size} bytes\n")
    assert (await run(server.url, "session", "export", session, str(file))).status == 1
    made = (await run(server.url, "session", "import", str(file))).out.strip()
    assert made != session and await value(server.url, made) == "3"
    told = json.loads((await run(server.url, "session", "import", str(file), "-o", "json")).out)
    assert (told["origin"], told["seq"]) == (session, 3)
    file.write_bytes(b"PK")
    wrong = await run(server.url, "session", "import", str(file))
    assert (wrong.status, wrong.out) == (2, "") and "no exported session" in wrong.err
    nowhere = await run(server.url, "session", "export", session, str(tmp_path / "no" / "folder"))
    assert nowhere.status == 1 and "No such file" in nowhere.err


async def test_states_outlive_the_server(server: Server):
    """Pins and states are the store's; so is what began with them."""
    session = await prepared(server.url)
    await run(server.url, "session", "pin", session, "lesson", "--seq", "1")
    fork = (await run(server.url, "session", "fork", session)).out.strip()
    await server.kill()
    await server.start()
    assert "lesson" in (await run(server.url, "session", "states", session)).out
    assert (await run(server.url, "session", "rewind", session, "2")).status == 0
    assert (await value(server.url, session), await value(server.url, fork)) == ("2", "3")
