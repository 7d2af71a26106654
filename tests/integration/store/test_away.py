"""A Redis that is away, hung, slow, full or read-only while sessions are at work: nothing is told as committed that is
not, and everything goes on by itself afterwards.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import contextmanager

import pytest

from support.client import Envelope, ReplClient, connect
from support.cutting_proxy import CuttingProxy
from support.redis_server import RedisServer
from support.server import TOKEN, Server

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis]

PATIENCE_S = 30.0
NOT_READY_WITHIN_S = 5.0
SLEEPS = "import time\nprint('on', flush=True)\ntime.sleep(0.5)\nn += 1\nn"


async def until_status(probe, status: int, *, within_s: float = PATIENCE_S) -> str:
    """The words of the first readiness check with that status."""
    async with asyncio.timeout(within_s):
        while True:
            found, words = await probe()
            if found == status:
                return words
            await asyncio.sleep(0.1)


async def until_committed(client: ReplClient, kept: Envelope) -> Envelope:
    """The `committed` event of a result that came before its commit."""
    assert (kept["state"], kept["durable"], kept.get("etag")) == ("kept", "none", None)
    said = await client.wait_for(lambda e: e["type"] == "committed" and e["payload"]["seq"] == kept["seq"])
    assert said["payload"]["durable"] == "fsync" and said["payload"]["etag"]
    return said["payload"]


async def eval_when_back(client: ReplClient, code: str) -> Envelope:
    """The result, once the store is there again; until then nothing is begun."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = await client.ask("eval", {"code": code})
            if answer["type"] == "result":
                return answer["payload"]
            assert answer["payload"]["code"] == "store_unavailable" and answer["payload"]["retry_after_ms"]
            await asyncio.sleep(0.1)


async def test_s02_a_redis_that_dies_while_sessions_are_idle(client, probe, redis_server: RedisServer) -> None:
    """Not ready within 5 s, sockets stay, new evals are refused before they begin; it goes on when it is back."""
    redis_server.kill()
    words = await until_status(probe, 503, within_s=NOT_READY_WITHIN_S)
    assert "[-] store: the store is away" in words
    refused = (await client.ask("eval", {"code": "n = 2"}))["payload"]
    assert (refused["code"], refused["retryable"], refused["retry_after_ms"] > 0) == ("store_unavailable", True, True)
    assert (await client.ask("ping"))["type"] == "pong"
    redis_server.start()
    await until_status(probe, 200)
    assert (await eval_when_back(client, "n"))["output"] == "1"


async def test_s03_a_redis_that_dies_between_dispatch_and_commit(client, on_bubblewrap, redis_server) -> None:
    """The result goes out as kept, never as committed; it is committed by itself later, as the same eval."""
    running = await client.send("eval", {"code": SLEEPS, "stream": True})
    await client.wait_for(lambda e: e["type"] == "stream" and e["id"] == running)
    redis_server.kill()
    kept = (await client.terminal(running))["payload"]
    assert kept["output"] == "2"
    redis_server.start()
    said = await until_committed(client, kept)
    again = await client.ask("eval", {"code": SLEEPS, "stream": True}, id_=running)
    assert (again["payload"]["output"], again["payload"]["seq"]) == ("2", kept["seq"])
    assert again["payload"]["etag"] == said["etag"]
    assert (await eval_when_back(client, "n"))["output"] == "2"


async def test_s06_a_redis_that_hangs_holds_nobody_else_up(client, redis_server: RedisServer) -> None:
    """The server answers pings meanwhile; the eval's result goes out as kept, and is committed when it goes on."""
    redis_server.pause()
    try:
        running = await client.send("eval", {"code": "n += 1\nn"})
        slowest_s = 0.0
        ends = time.monotonic() + 3.0
        while time.monotonic() < ends:
            began = time.monotonic()
            await client.ask("ping")
            slowest_s = max(slowest_s, time.monotonic() - began)
            await asyncio.sleep(0.01)
        kept = (await client.terminal(running))["payload"]
    finally:
        redis_server.resume()
    assert slowest_s < 1.0
    await until_committed(client, kept)
    assert (await eval_when_back(client, "n"))["output"] == "2"


async def test_s08_a_redis_that_is_slow_makes_evals_slow_and_nothing_else(state, redis_server: RedisServer) -> None:
    """200 ms for each answer: every eval is committed, and no worker is taken for lost."""
    proxy = CuttingProxy(redis_server.folder / "proxy", redis_server.socket)
    await proxy.start()
    server = Server(state / "state", "--runtime", "bubblewrap", "--redis-url", f"unix://{proxy.path}",
                    "--set", "engine.sweep_interval_s=0.5")  # fmt: skip
    await server.start()
    try:
        async with connect(server.url, TOKEN, protocols=["bascule.v1"]) as client:
            session = (await client.ask("open"))["payload"]["session"]
            await client.eval("n = 0")
            before = (await client.ask("attach", {"session": session}))["payload"]
            proxy.delay_s = 0.2
            for number in range(10):
                answer = await client.eval("n += 1\nn")
                assert (answer["output"], answer["state"], answer["durable"]) == (str(number + 1), "committed", "fsync")
            after = (await client.ask("attach", {"session": session}))["payload"]
            assert (after["generation"], after["seq"]) == (before["generation"], 11)
            proxy.delay_s = 0.0
    finally:
        await server.stop()
        await proxy.stop()


@contextmanager
def full(redis: RedisServer):
    """No memory for any write."""
    redis.command("CONFIG", "SET", "maxmemory", "1")
    yield "full"
    redis.command("CONFIG", "SET", "maxmemory", "0")


@contextmanager
def readonly(redis: RedisServer):
    """A replica, as after a failover that nobody told us of."""
    redis.command("REPLICAOF", "127.0.0.1", "1")
    yield "readonly"
    redis.command("REPLICAOF", "NO", "ONE")


@contextmanager
def without_replicas(redis: RedisServer):
    """A primary that wants a replica for each write."""
    redis.command("CONFIG", "SET", "min-replicas-to-write", "1")
    yield "noreplicas"
    redis.command("CONFIG", "SET", "min-replicas-to-write", "0")


@pytest.mark.parametrize("trouble", [full, readonly, without_replicas])
async def test_s09_s20_a_redis_that_refuses_to_write(
    client: ReplClient, on_bubblewrap: Server, redis_server: RedisServer, trouble: Callable
) -> None:
    """What runs is kept, what is new is refused with the cause; reads go on; afterwards everything does by itself."""
    with trouble(redis_server) as cause:
        kept = await client.eval("n += 1\nn")
        refused = (await client.ask("eval", {"code": "n = 99"}))["payload"]
        assert (refused["code"], refused["retry_after_ms"] > 0) == ("store_unavailable", True)
        async with connect(on_bubblewrap.url, TOKEN) as other:
            opened = (await other.ask("open"))["payload"]
            assert (opened["code"], opened["message"]) == ("store_unavailable", f"the store is away: {cause}")
        history = (await client.ask("history"))["payload"]
        assert [entry["seq"] for entry in history["entries"]] == [1]
    await until_committed(client, kept)
    assert (await eval_when_back(client, "n"))["output"] == "2"


async def test_s09_a_session_can_be_closed_while_the_redis_is_full(client, redis_server: RedisServer) -> None:
    """That is what makes room."""
    with full(redis_server):
        assert (await client.ask("close"))["type"] == "reply"


async def test_s10_a_setting_that_is_changed_under_us_changes_the_label_at_once(
    client: ReplClient, on_bubblewrap: Server, probe, redis_server: RedisServer
) -> None:
    """`fsync` is told of no eval that is not on the disk, or that may be thrown away; `readyz` and the log say why."""
    settings = {"appendfsync": ("everysec", "always"), "maxmemory-policy": ("allkeys-lru", "noeviction")}
    redis_server.command("CONFIG", "SET", "maxmemory", "1gb")
    for name, (bad, good) in settings.items():
        assert (await client.eval("n"))["durable"] == "fsync"
        redis_server.command("CONFIG", "SET", name, bad)
        assert (await client.eval("n"))["durable"] == "memory"
        async with asyncio.timeout(PATIENCE_S):
            while name not in (await probe())[1]:
                await asyncio.sleep(0.1)
        redis_server.command("CONFIG", "SET", name, good)
        await client.eval("n")
    assert "store doubted" in on_bubblewrap.log() and "store changed" in on_bubblewrap.log()
