"""Processes that the benchmark starts: each ends with its block, whatever happens in it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from loadtests.contestants.contestant import Unavailable

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 30.0
COMMAND_TIMEOUT_S: Final = 60.0
POLL_S: Final = 0.02
LAST_WORDS_BYTES: Final = 800
PREFIX: Final = "bascule-bench-"
PACKAGES: Final = ("", "worker-image", "clients/python")
"""Where they are, below a version's root."""


@contextmanager
def throw_away_folder() -> Iterator[Path]:
    """A folder that sessions' users can go through."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def running(
    words: Sequence[str],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    stdin: int = DEVNULL,
    cwd: Path | None = None,
) -> AsyncIterator[Process]:
    """A process with stdout to us and stderr to a file. A Ctrl-C at our terminal is for us, not for it."""
    with log.open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=stdin, stdout=PIPE, stderr=stderr, env=environment, cwd=cwd, start_new_session=True,
            limit=1 << 26,
        )  # fmt: skip
    try:
        yield process
    finally:
        await asyncio.shield(end(process))


async def end(process: Process) -> None:
    """In order, and by force if that takes too long."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def ready_url(process: Process, log: Path) -> str:
    """The address of the process's line `ready ws://…`; raises `Unavailable` with its last words."""
    assert process.stdout is not None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(START_TIMEOUT_S):
            while line := (await process.stdout.readline()).decode():
                if line.startswith("ready "):
                    return line.split()[1]
    raise Unavailable(f"it did not start: {last_words(log)}")


def last_words(log: Path) -> str:
    """The end of a log, on one line."""
    return " ".join(log.read_bytes()[-LAST_WORDS_BYTES:].decode("utf-8", "replace").split())


async def output_of(*words: str) -> str:
    """What a short command prints; raises `Unavailable` when it is missing, fails or takes too long."""
    try:
        process = await asyncio.create_subprocess_exec(*words, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    except OSError as error:
        raise Unavailable(f"{words[0]}: {error.strerror}") from None
    try:
        out, complaint = await asyncio.wait_for(process.communicate(), COMMAND_TIMEOUT_S)
    except TimeoutError:
        raise Unavailable(f"{' '.join(words[:2])} takes too long") from None
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise Unavailable(f"{' '.join(words[:2])}: {complaint.decode('utf-8', 'replace').strip()[:300]}")
    return out.decode("utf-8", "replace")


def own_environment(**more: str) -> dict[str, str]:
    """Ours without settings for a server, and with these."""
    return {name: value for name, value in os.environ.items() if not name.startswith("BASCULE_")} | more


@asynccontextmanager
async def redis_server(folder: Path) -> AsyncIterator[str]:
    """The address of a Redis that keeps everything in memory only."""
    from orchestrator.stores.embedded import EmbeddedError, find_server

    try:
        program = find_server()
    except EmbeddedError as error:
        raise Unavailable(str(error).splitlines()[0]) from None
    path, log = folder / "redis.sock", folder / "redis.log"
    settings = {"port": "0", "unixsocket": str(path), "dir": str(folder), "save": "", "appendonly": "no"}
    words = [word for name, value in settings.items() for word in (f"--{name}", value)]
    async with running([program, *words, "--logfile", str(log)], folder / "redis.err") as process:
        async with asyncio.timeout(START_TIMEOUT_S):
            while not await _answers(path):
                if process.returncode is not None:
                    raise Unavailable(f"Redis ended at once: {last_words(log)}")
                await asyncio.sleep(POLL_S)
        yield f"unix://{path}"


async def _answers(path: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(str(path))
    except OSError:
        return False
    writer.close()
    return True


def python(*words: str) -> list[str]:
    """A command of this Python's."""
    return [sys.executable, *words]


def python_path(tree: Path) -> str:
    """What makes a Python find that version's packages before any that are installed."""
    return ":".join(str(tree / place) for place in PACKAGES)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The fastest event loop that is installed, so that clients take little of the machine."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
