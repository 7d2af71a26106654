"""A real server that is full, may not write, lets nobody in, or holds junk."""

import dataclasses
import socket
import time
from pathlib import Path

import pytest

from contract.conftest import SERVERS
from orchestrator.core.commits import Answer
from orchestrator.core.intents import Intent
from orchestrator.core.session import OpenId
from orchestrator.stores.keys import index_key_of, opened_keys, session_keys, tenant_key
from orchestrator.stores.limits import StoreLimits
from orchestrator.stores.redis.torn_end import REFUSED
from replwire.errors import WireError
from support.certificates import free_port, make_authority
from support.commits import POLICY, Writer, chunk, claim, fresh_session, opened
from support.stores import away, connected

pytestmark = pytest.mark.redis

RIGHTS = next(
    line.partition(">PASSWORD ")[2].split()
    for line in (Path(__file__).parents[2] / "docs/how-to/redis.md").read_text().splitlines()
    if line.startswith("ACL SETUSER bascule on >PASSWORD ")
)
"""As the page about Redis gives them to a front door."""
LOGIN = b"*3\r\n$4\r\nAUTH\r\n$5\r\nfront\r\n$6\r\nsecret\r\n"


async def test_s09_a_full_server_refuses_before_the_first_effect(server):
    """`full`, with nothing written; reads go on, and closing a session makes room."""
    async with connected(server.url) as store:
        writer, other = await opened(store), await opened(store)
        await writer.commit()
        server.command("CONFIG", "SET", "maxmemory", "1")
        commit = writer.next_commit(chunks=[chunk(b"state")])
        with away("full"):
            await store.commit(commit)
        large = other.next_commit(chunks=[chunk(b"%d" % number * 200_000) for number in range(4)])
        with away("full"):
            await store.commit(large)
        with away("full"):
            await store.create(fresh_session(), POLICY)
        assert (await store.read(writer.session)).seq == 1
        assert await store.outcome(writer.session, "request-1") is not None
        await store.end(other.session)
        assert (await store.read(other.session)).status.value == "closed"
        server.command("CONFIG", "SET", "maxmemory", "0")
        assert (await store.commit(commit)).answer is Answer.OK


async def test_s20_a_server_that_may_not_write_says_why(make_server):
    """A replica, and a primary that lacks its replicas."""
    server = make_server()
    async with connected(server.url) as store:
        writer = await opened(store)
        server.command("CONFIG", "SET", "min-replicas-to-write", "1")
        with away("noreplicas"):
            await writer.commit()
        server.command("CONFIG", "SET", "min-replicas-to-write", "0")
        server.command("REPLICAOF", "127.0.0.1", "1")
        with away("readonly"):
            await writer.commit()


@pytest.mark.parametrize("kind", list(SERVERS))
async def test_s18_users_and_passwords(make_server, kind):
    """A wrong password is `refused`; a user that may run scripts by name and nothing dangerous is enough."""
    server = make_server(kind)
    server.command("ACL", "SETUSER", "front", "on", ">secret", *RIGHTS)
    server.command("ACL", "SETUSER", "default", "off")
    async with connected(f"unix://front:wrong@{server.socket}") as store:
        with away("refused"):
            await store.facts()
        with away("refused"):
            await store.commit((Writer(store, fresh_session(), 1, "n")).next_commit())
    async with connected(f"unix://front@{server.socket}", password="secret") as store:
        facts = await store.facts()
        assert REFUSED not in facts.warnings
        # CONFIG GET is dangerous: without it nothing is assumed, and an older server can't be asked in another way.
        durable = "fsync" if b"waitaof" in after_login(server, ("COMMAND", "INFO", "waitaof")) else "memory"
        assert facts.durable == durable
        writer = await opened(store)
        assert (await writer.commit(chunks=[chunk(b"state")])).durable == durable
        assert [record.session async for record in store.sessions()] == [writer.session]
        await store.touch([writer.session])
        await store.sweep_chunks()
        await store.end(writer.session)


@pytest.mark.parametrize(
    "command",
    [
        ("CONFIG", "SET", "appendonly", "no"), ("CONFIG", "GET", "requirepass"), ("KEYS", "*"), ("FLUSHALL",),
        ("FLUSHDB",), ("DEBUG", "SLEEP", "0"), ("MODULE", "LOAD", "/tmp/evil.so"), ("SHUTDOWN",), ("ACL", "LIST"),
        ("EVAL", "return 1", "0"), ("REPLICAOF", "NO", "ONE"), ("MONITOR",), ("GET", "not-ours"),
    ],
)  # fmt: skip
async def test_s18_a_front_door_may_do_nothing_that_it_need_not(make_server, command):
    """With the rights of the page about Redis, whoever takes over a front door can't read or break anything else."""
    server = make_server(enable_debug_command="yes", enable_module_command="yes")
    server.command("ACL", "SETUSER", "front", "on", ">secret", *RIGHTS)
    assert after_login(server, command).startswith(b"-NOPERM")


def after_login(server, command: tuple[str, ...]) -> bytes:
    """The reply to a command of the user."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2.0)
        connection.connect(str(server.socket))
        connection.sendall(LOGIN)
        assert connection.recv(1000) == b"+OK\r\n"
        words = [word.encode() for word in command]
        connection.sendall(b"".join([b"*%d\r\n" % len(words), *(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)]))
        return connection.recv(1000)


def with_tls(make_server, authority) -> str:
    """The port of a server that speaks TLS with that certificate."""
    port, certificate = str(free_port()), str(authority.certificate)
    key = str(authority.key)
    make_server(
        tls_port=port, tls_cert_file=certificate, tls_key_file=key, tls_ca_cert_file=certificate, tls_auth_clients="no"
    )
    return port


async def refused_by(url: str, cause: str) -> None:
    """No call and no commit gets through."""
    async with connected(url) as store:
        with away(cause):
            await store.facts()
        with away(cause):
            await store.commit(Writer(store, fresh_session(), 1, "n").next_commit())


async def test_s19_tls_is_checked(make_server, tmp_path):
    """`rediss://` works with the right authority, and connects neither to an unknown one nor by another name."""
    authority = make_authority(tmp_path)
    url = f"rediss://localhost:{with_tls(make_server, authority)}"
    known = f"{url}?ssl_ca_certs={authority.certificate}"
    async with connected(known) as store:
        assert (await (await opened(store)).commit()).answer is Answer.OK
    await refused_by(url, "tls")
    await refused_by(known.replace("localhost", "127.0.0.1"), "tls")
    # Nor does anybody speak to it without TLS, or to one that has none with it.
    await refused_by(url.replace("rediss:", "redis:"), "unreachable")


async def test_s19_a_certificate_whose_time_is_over_is_refused(make_server, tmp_path):
    """Though its authority is known."""
    authority = make_authority(tmp_path, is_expired=True)
    port = with_tls(make_server, authority)
    await refused_by(f"rediss://localhost:{port}?ssl_ca_certs={authority.certificate}", "tls")


async def test_nonsense_is_told_as_damage(server):
    """Not as absent, and not as a store that is away; the other sessions are listed."""
    async with connected(server.url) as store:
        writer, healthy = await opened(store), await opened(store)
        await writer.commit(chunks=[chunk(b"state")])
        keys = session_keys(writer.session)
        server.command("HDEL", keys.journal, "1")
        await _damaged(store.outcome(writer.session, "request-1"))
        await _damaged(store.commit(Writer(store, writer.session, 1, writer.nonce).next_commit()))
        server.command("HSET", keys.states, "1:references", "short")
        await _damaged(store.checkpoint(writer.session))
        server.command("SET", keys.ids, "no table")
        await _damaged(store.known_ids(writer.session))
        server.command("HSET", keys.record, "seq", "many")
        await _damaged(store.read(writer.session))
        assert [record.session async for record in store.sessions()] == [healthy.session]


async def _damaged(call) -> None:
    with pytest.raises(WireError) as raised:
        await call
    assert (raised.value.code, raised.value.details["cause"]) == ("internal", "damaged")


async def test_the_index_is_repaired(server):
    """An entry without a record goes after its grace, one of a closed session at once; a touch puts one back."""
    async with connected(server.url, limits=StoreLimits(index_grace_s=600)) as store:
        writer, closed = await opened(store), await opened(store)
        young, old = fresh_session(), fresh_session()
        await store.end(closed.session)
        server.command("ZADD", index_key_of(closed.session), "1", closed.session)
        server.command("ZADD", index_key_of(old), "1", old)
        server.command("ZADD", index_key_of(young), str(int(time.time() * 1000)), young)
        server.command("ZADD", index_key_of(writer.session), "1", b"\xff no session id")
        server.command("ZREM", index_key_of(writer.session), writer.session)
        assert [record.session async for record in store.sessions()] == []
        left = {name: server.command("ZSCORE", index_key_of(name), name) for name in (closed.session, old, young)}
        assert [name for name, reply in left.items() if reply not in (b"$-1\r\n", b"_\r\n")] == [young]
        await store.touch([writer.session])
        assert [record.session async for record in store.sessions()] == [writer.session]


async def test_a_lineage_leaves_nothing_behind(server):
    """After the last session's end only its record is there, and that has a time to go."""
    async with connected(server.url) as store:
        writer = await opened(store)
        sibling = await opened(store, writer.session)
        for each in (writer, sibling):
            await each.commit(chunks=[chunk(b"shared"), chunk(each.session.encode())])
            await each.commit(chunks=[chunk(b"%d" % number * 200_000) for number in range(4)])
        late = writer.next_commit(chunks=[chunk(b"late %d" % number * 200_000) for number in range(4)])
        await store.end(writer.session)
        await store.end(sibling.session)
        assert (await store.commit(late)).answer is Answer.FENCED
        keys = server.command("KEYS", "*")
        assert keys.count(b"bascule:") == 2
        assert keys.count(b":record") == 2
        assert int(server.command("PTTL", session_keys(writer.session).record)[1:]) > 0


async def test_every_key_is_one_of_the_table(server):
    """What is written is what `keys.py` says, with its types; no script makes up a key."""
    async with connected(server.url) as store:
        writer = await opened(store)
        await writer.commit(chunks=[chunk(b"%d" % number * 200_000) for number in range(4)])
        absent = chunk(b"absent")[0]
        await writer.commit(chunks=[chunk(b"x%d" % number * 200_000) for number in range(4)], references=[absent])
        await claim(store, writer.session, writer.generation)
        left = Intent(writer.session, writer.generation + 1, "", "left", b"h" * 32, "acme/ann")
        raised = await store.raise_generation(writer.session, writer.generation + 1, "front", 30.0)
        await store.intend([dataclasses.replace(left, generation=raised.generation, nonce=raised.nonce)])
        keys = session_keys(writer.session)
        assert await writer.pin("p")
        opens = OpenId("acme", "ann", "o", b"h" * 32)
        other = (await store.create(fresh_session(writer.session), POLICY, opens)).session
        # `state` is what release 0.1 wrote; `garbage` is of a store with blobs.
        named = {*session_keys(writer.session)} - {keys.state, keys.garbage}
        named |= {index_key_of(writer.session), tenant_key(POLICY.tenant)}
        named |= {session_keys(other).record, index_key_of(other), *opened_keys("acme", "ann")}
        listed = {line for line in server.command("KEYS", "*").split(b"\r\n") if line.startswith(b"bascule:")}
        assert listed == named
