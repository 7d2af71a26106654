"""A real Sentinel beside a real primary and its replica: found, failed over, and what that can lose."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.conftest import SERVERS
from orchestrator.core.commits import Answer
from orchestrator.stores.keys import session_keys
from replwire.errors import WireError
from support.commits import Writer, chunk, opened
from support.sentinel import Failover
from support.stores import away, connected

pytestmark = pytest.mark.redis


@pytest.fixture(params=list(SERVERS))
def failover(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Failover]:
    """Of each kind of server."""
    made = Failover(SERVERS[request.param], tmp_path)
    yield made
    made.close()


async def committed(writer: Writer, commit) -> None:
    """The same commit until it is made: the store is away for a while."""
    async with asyncio.timeout(30):
        while True:
            try:
                reply = await writer.store.commit(commit)
            except WireError as error:
                assert error.code == "store_unavailable"
                await asyncio.sleep(0.05)
            else:
                assert reply.answer in (Answer.OK, Answer.DUP), reply
                writer.accept(commit)
                return


async def test_s15_a_failover_to_a_replica_that_has_everything_costs_nothing(failover: Failover) -> None:
    """The primary's place is found anew, by commits and by all other calls; what was committed is there."""
    async with connected(failover.url) as store:
        writer = await opened(store)
        for _ in range(3):
            await writer.commit(chunks=[chunk(b"state %d" % writer.seq)])
        failover.until(lambda: b"lag=0" in failover.primary.command("INFO", "replication"))
        offset = failover.primary.command("INFO", "replication").split(b"master_repl_offset:")[1].split(b"\r")[0]
        failover.until(lambda: b"slave_repl_offset:" + offset in failover.replica.command("INFO", "replication"))
        await asyncio.to_thread(failover.fail_over)
        await committed(writer, writer.next_commit(chunks=[chunk(b"state 3")]))
        record = await store.read(writer.session)
        assert (record.seq, record.etag) == (4, writer.etag)
        assert (await store.checkpoint(writer.session)).seq == 4


async def test_s15_a_failover_that_lost_a_commit_is_not_hidden(failover: Failover) -> None:
    """The replica lacks what was committed while it was cut off: the next commit is a GAP, with its seq."""
    async with connected(failover.url) as store:
        writer = await opened(store)
        await writer.commit()
        failover.until(lambda: failover.replica.command("HGET", *seq_of(writer)).endswith(b"\r\n1\r\n"))
        failover.cut_off_replica()
        assert (await writer.commit()).answer is Answer.OK
        await asyncio.to_thread(failover.fail_over)
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(WireError):
                    reply = await store.commit(writer.next_commit())
                    break
                await asyncio.sleep(0.05)
        assert (reply.answer, reply.seq) == (Answer.GAP, 1)


def seq_of(writer: Writer) -> tuple[str, str]:
    """Key and field of a session's seq."""
    return session_keys(writer.session).record.decode(), "seq"


async def test_no_sentinel_no_store(tmp_path: Path) -> None:
    """Nobody knows where the primary is: the store is away, told in time."""
    async with connected("redis+sentinel://127.0.0.1:1,127.0.0.1:2/sessions") as store:
        with away("unreachable"):
            await store.facts()
