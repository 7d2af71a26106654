"""Two servers on one Redis serve one session: one order, one numbered stream of events, and either may be killed."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from support.client import Envelope, ReplClient, connect
from support.server import TOKEN, Server
from support.servers import clean

EVALS = 40
"""Of each client."""
APPEND = "seen.append({name!r}); print({name!r}, flush=True); len(seen)"

RUNTIMES = [
    pytest.param("bubblewrap", marks=[pytest.mark.bubblewrap, pytest.mark.redis]),
    pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.redis]),
]


class Pair(NamedTuple):
    """Two servers of one installation."""

    one: Server
    other: Server


@asynccontextmanager
async def _pair(runtime: str, redis_url: str) -> AsyncIterator[Pair]:
    keys = {"BASCULE_KEYS__STAMP": secrets.token_hex(32), "BASCULE_KEYS__SEAL": secrets.token_hex(32)}
    folders = [Path(tempfile.mkdtemp(prefix="bascule-test-")) for _ in range(2)]
    made = Pair(*(
        Server(folder / "state", "--runtime", runtime, "--redis-url", redis_url, environment=keys)
        for folder in folders
    ))  # fmt: skip
    try:
        for folder in folders:
            folder.chmod(0o755)
        await asyncio.gather(*(server.start() for server in made))
        yield made
    finally:
        await asyncio.gather(*(server.stop() for server in made if server.runs))
        for folder in folders:
            await asyncio.to_thread(clean, folder)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=RUNTIMES)
async def pair(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Pair]:
    """On each runtime."""
    async with _pair(request.param, redis_url) as made:
        yield made


def stream(*clients: ReplClient) -> list[tuple[str, str, str]]:
    """Cursor, id and text of what was printed, as these connections of one client saw it."""
    return [
        (event["cursor"], event["id"], event["payload"]["text"])
        for client in clients
        for event in client.events("stream")
    ]


async def _attach(client: ReplClient, session: str) -> None:
    """And wait until its server is linked to the worker: what was said before is not live."""
    bound = (await client.ask("attach", {"session": session}))["payload"]
    if bound["status"] != "ready":
        await client.wait_for(lambda e: e["type"] == "status" and e["payload"]["status"] == "ready")


async def _evaluate(client: ReplClient, who: str) -> list[Envelope]:
    """One eval after another."""
    return [await client.eval(APPEND.format(name=f"{who}{n}"), stream=True) for n in range(EVALS)]


async def test_evals_through_both_have_one_order_and_both_streams_are_equal(pair: Pair):
    """Each seq once, the list has all of them in that order, and both clients saw every event under the same cursor."""
    async with connect(pair.one.url, TOKEN) as client, connect(pair.other.url, TOKEN) as guest:
        session = (await client.ask("open"))["payload"]["session"]
        await client.eval("seen = []")
        await _attach(guest, session)
        results = await asyncio.gather(_evaluate(client, "a"), _evaluate(guest, "b"))
        told = sorted((result["seq"], result["output"]) for found in results for result in found)

        assert told == [(n + 1, str(n)) for n in range(1, 2 * EVALS + 1)]
        order = (await guest.eval("' '.join(seen)"))["output"].strip("'").split()
        assert [name for name in order if name[0] == "a"] == [f"a{n}" for n in range(EVALS)]
        assert [name for name in order if name[0] == "b"] == [f"b{n}" for n in range(EVALS)]
        await client.wait_for(lambda e: e == guest.events("stream")[-1] | {"timestamp": e["timestamp"]})
        assert stream(client) == stream(guest)
        assert "".join(text for _, _, text in stream(guest)).split() == order
        assert client.events("rolled_back") + client.events("gap") + guest.events("gap") == []


async def test_a_server_killed_in_the_middle_is_not_noticed_by_the_other_ones_client(pair: Pair):
    """Its own client goes to the other server with its last cursor, sends the id again that it has no answer to, and
    has missed nothing: both have the same stream, event by event."""
    async with connect(pair.other.url, TOKEN) as guest:
        # The worker is the other server's: in bubblewrap a worker dies with the server that started it.
        session = (await guest.ask("open"))["payload"]["session"]
        await guest.eval("seen = []")
        evaluated = asyncio.create_task(_evaluate(guest, "b"))
        async with connect(pair.one.url, TOKEN) as first:
            await _attach(first, session)
            for n in range(EVALS // 2):
                await first.eval(APPEND.format(name=f"a{n}"), stream=True)
            id_ = await first.send("eval", {"code": APPEND.format(name="last"), "stream": True})
            await pair.one.kill()
        async with connect(pair.other.url, TOKEN) as second:
            await second.ask("attach", {"session": session, "cursor": first.events("stream")[-1]["cursor"]})
            again = await second.ask("eval", {"code": APPEND.format(name="last"), "stream": True}, id_=id_)
            results = await evaluated
            assert again["payload"]["state"] == "committed"
            assert {result["state"] for result in results} == {"committed"}
            assert guest.events("rolled_back") + guest.events("gap") == []
            order = (await guest.eval("' '.join(seen)"))["output"].strip("'").split()
            assert len(order) == len(set(order)) == EVALS + EVALS // 2 + 1

            await second.wait_for(lambda e: e == guest.events("stream")[-1] | {"timestamp": e["timestamp"]})
            began = stream(first)[0][0]
            seen = stream(guest)
            assert stream(first, second) == seen[[cursor for cursor, _, _ in seen].index(began) :]
