"""A Redis that does not hold what it held: restored from a backup, failed over, with keys gone or changed by somebody.

Never silently less, and never an empty session under an old id.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bascule import AsyncClient, SessionError
from orchestrator.stores.keys import session_keys
from support.client import Envelope, ReplClient, connect
from support.redis_server import RedisServer, binaries
from support.sentinel import Failover
from support.server import TOKEN, Server

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis]

PATIENCE_S = 60.0
FILES = "appendonlydir"


class Backup:
    """A copy of a Redis' files, as an operator's backup has them."""

    def __init__(self, redis: RedisServer) -> None:
        self._redis = redis
        self._copy = redis.folder / "backup"
        redis.settle()
        shutil.copytree(redis.folder / FILES, self._copy)

    def restore(self) -> None:
        """The server is ended, gets the old files and is started again."""
        self._redis.kill()
        shutil.rmtree(self._redis.folder / FILES)
        shutil.copytree(self._copy, self._redis.folder / FILES)
        self._redis.start()


async def opened(client: ReplClient) -> str:
    """A session that has counted to 2."""
    session: str = (await client.ask("open"))["payload"]["session"]
    await client.eval("n = 1")
    await client.eval("n = 2")
    return session


async def first_answer(client: ReplClient, code: str) -> Envelope:
    """Whatever comes first of an eval but that the store is away."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = await client.ask("eval", {"code": code})
            if answer["type"] == "result" or answer["payload"]["code"] != "store_unavailable":
                return answer
            await asyncio.sleep(0.1)


async def test_s15_a_worker_that_has_newer_commits_notices_an_old_backup(
    client: ReplClient, on_bubblewrap: Server, redis_server: RedisServer
) -> None:
    """The next eval is not committed on top of an older state: told, undone; it goes on from what is there."""
    backup = Backup(redis_server)
    await client.eval("n = 2")
    await client.eval("n = 3")
    backup.restore()
    answer = await first_answer(client, "n = 4")
    assert (answer["type"], answer["payload"]["code"]) == ("error", "session_regressed")
    assert answer["payload"]["seq"] == 1
    said = await client.wait_for(lambda e: e["type"] == "rolled_back")
    assert (said["payload"]["to"], said["payload"]["cause"]) == (1, "session_regressed")
    assert (await client.eval("n"))["output"] == "1"
    assert '"session_regressed"' in on_bubblewrap.log()


async def test_s15_a_client_that_holds_a_newer_etag_notices_an_old_backup(
    on_bubblewrap: Server, redis_server: RedisServer
) -> None:
    """The server was down as well and knows nothing: the client compares what it was told with what it is offered."""
    told: list[object] = []
    async with AsyncClient(TOKEN, on_bubblewrap.url, reconnect_first_s=0.05) as sdk:
        session = await sdk.open(on_event=told.append)
        await session.run("n = 1")
        backup = Backup(redis_server)
        await session.run("n = 2")
        await on_bubblewrap.stop()
        backup.restore()
        await on_bubblewrap.start()
        with pytest.raises(SessionError) as caught:
            await session.run("n")
        assert caught.value.code == "session_regressed"
        async with sdk.attach(session.id) as again:
            assert (await again.run("n")).text == "1"


async def test_s15_a_cursor_of_what_is_gone_is_told_of_at_the_attach(
    on_bubblewrap: Server, redis_server: RedisServer
) -> None:
    """Whoever comes back with the last cursor seen hears first that it did not last."""
    async with connect(on_bubblewrap.url, TOKEN, protocols=["bascule.v1"]) as client:
        session = await opened(client)
        backup = Backup(redis_server)
        await client.eval("print('lost'); n = 3", stream=True)
        cursor = client.events("stream")[-1]["cursor"]
        await on_bubblewrap.stop()
    backup.restore()
    await on_bubblewrap.start()
    async with connect(on_bubblewrap.url, TOKEN, protocols=["bascule.v1"]) as client:
        bound = (await client.ask("attach", {"session": session, "cursor": cursor}))["payload"]
        assert bound["seq"] == 2
        (said,) = client.events("rolled_back")
        assert said["payload"]["to"] == 2
        assert (await client.eval("n"))["output"] == "2"


@asynccontextmanager
async def on_sentinel() -> AsyncIterator[tuple[Server, Failover]]:
    """A server on a Redis that fails over."""
    folder = Path(tempfile.mkdtemp(prefix="bascule-test-"))
    folder.chmod(0o755)
    made = Failover(next(iter(binaries().values())), folder)
    server = Server(folder / "state", "--runtime", "bubblewrap", "--redis-url", made.url)
    try:
        await server.start()
        yield server, made
    finally:
        if server.runs:
            await server.kill()
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("is_lost", [False, True])
async def test_s15_a_failover_goes_by_itself_and_hides_nothing(is_lost: bool) -> None:
    """With a replica that has everything nothing happens to the session; what it lacks is told, and undone."""
    async with on_sentinel() as (server, failover), connect(server.url, TOKEN, protocols=["bascule.v1"]) as client:
        record = session_keys(await opened(client)).record
        failover.until(lambda: b"\r\n2\r\n" in failover.replica.command("HGET", record, "seq"))
        if is_lost:
            failover.cut_off_replica()
            assert (await client.eval("n = 3"))["state"] == "committed"
        await asyncio.to_thread(failover.fail_over)
        answer = await first_answer(client, "n += 10\nn")
        if is_lost:
            # Its result may have gone out before the replica was found: as kept, and never as committed.
            assert answer["payload"].get("code", answer["payload"].get("state")) in ("session_regressed", "kept")
            said = await client.wait_for(lambda e: e["type"] == "rolled_back")
            assert (said["payload"]["to"], said["payload"]["cause"]) == (2, "session_regressed")
            assert (await client.eval("n"))["output"] == "2"
        else:
            assert answer["payload"]["output"] == "12"
            assert not client.events("rolled_back")


@pytest.mark.parametrize("gone", ["record", "everything"])
async def test_s11_a_session_whose_record_is_gone_is_gone(
    client: ReplClient, on_bubblewrap: Server, redis_server: RedisServer, gone: str
) -> None:
    """Told as such, to whoever works in it and to whoever comes back; nobody gets an empty session of that id."""
    session = client.session
    if gone == "record":
        redis_server.command("DEL", session_keys(session).record)
    else:
        redis_server.command("FLUSHALL")
    answer = await first_answer(client, "n")
    assert (answer["type"], answer["payload"]["code"]) == ("error", "session_gone")
    async with connect(on_bubblewrap.url, TOKEN) as other:
        refused = (await other.ask("attach", {"session": session}))["payload"]
        assert refused["code"] in ("not_found", "session_gone")


@pytest.mark.parametrize("part", ["states", "chunks", "journal", "ids"])
async def test_s11_a_session_whose_parts_are_gone_never_loses_a_name_in_silence(
    client: ReplClient, on_bubblewrap: Server, redis_server: RedisServer, part: str
) -> None:
    """Evicted or deleted under us: the live worker goes on or says so; a restore without its state says so."""
    session = client.session
    await client.eval("data = b'x' * 100_000; n = 2")
    redis_server.command("DEL", getattr(session_keys(session), part))
    answer = await first_answer(client, "n += 1\n(n, len(data))")
    await on_bubblewrap.kill()
    await on_bubblewrap.start()
    async with connect(on_bubblewrap.url, TOKEN) as again:
        await again.ask("attach", {"session": session})
        later = await again.ask("eval", {"code": "(n, len(data))"})
        if later["type"] == "result" and answer["type"] == "result":
            assert later["payload"]["output"] == answer["payload"]["output"] == "(3, 100000)"
        else:
            told = {item["payload"]["code"] for item in (answer, later) if item["type"] == "error"}
            assert told and told <= {"session_regressed", "restore_failed", "session_gone"}, (answer, later)


async def test_s16_who_reads_the_redis_learns_nothing(
    client: ReplClient, on_bubblewrap: Server, redis_server: RedisServer
) -> None:
    """No code, output, name, value, file or token of a tenant in its files, however they are packed."""
    canaries = ["canary_name", "canary-value", "canary-output", "canary-file", "canary-error", TOKEN]
    code = (
        "canary_name = 'canary-value' * 1000\nprint('canary-output')\nopen('canary-file', 'w').write('canary-file')\n"
        "raise ValueError('canary-error')"
    )
    assert (await client.eval(code, stream=True))["state"] == "committed"
    redis_server.command("SAVE")
    held = b"".join(path.read_bytes() for path in redis_server.folder.rglob("*") if path.is_file())
    assert session_keys(client.session).record in held
    for canary in canaries:
        assert canary.encode() not in held, canary


def flipped(data: bytes) -> bytes:
    """One bit in the middle is another one."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def fields_of(redis: RedisServer, key: bytes) -> dict[bytes, bytes]:
    """A hash of the store."""
    reply = redis.command("HGETALL", key)
    count, _, rest = reply.partition(b"\r\n")
    values = []
    for _ in range(int(count[1:])):
        size, _, rest = rest.partition(b"\r\n")
        values.append(rest[: int(size[1:])])
        rest = rest[int(size[1:]) + 2 :]
    return dict(zip(values[::2], values[1::2], strict=True))


@pytest.mark.parametrize("part", ["states", "chunks", "journal"])
async def test_s17_what_somebody_changed_in_the_redis_is_not_opened(
    client: ReplClient, on_bubblewrap: Server, redis_server: RedisServer, part: str
) -> None:
    """A flipped bit in a manifest, a chunk or a journal entry is found by its seal, before any worker sees it."""
    session = client.session
    key = getattr(session_keys(session), part)
    await client.eval("data = b'x' * 100_000; n = 2")
    for field, value in fields_of(redis_server, key).items():
        if value:
            redis_server.command("HSET", key, field, flipped(value))
    await on_bubblewrap.kill()
    await on_bubblewrap.start()
    async with connect(on_bubblewrap.url, TOKEN) as again:
        await again.ask("attach", {"session": session})
        if part == "journal":
            refused = await again.ask("history")
            assert refused["type"] == "error" or not refused["payload"]["entries"], refused
        else:
            refused = await again.ask("eval", {"code": "n"})
            assert (refused["type"], refused["payload"]["code"]) == ("error", "restore_failed"), refused


async def test_s17_a_seq_that_somebody_set_back_does_not_hide_a_commit(
    client: ReplClient, on_bubblewrap: Server, redis_server: RedisServer
) -> None:
    """The state of another seq does not pass for it: its seal names the seq that it was made for."""
    session = client.session
    await client.eval("n = 2")
    redis_server.command("HSET", session_keys(session).record, "seq", "1")
    answer = await first_answer(client, "n = 3")
    assert answer["type"] == "error" and answer["payload"]["code"] in ("session_regressed", "restore_failed"), answer
