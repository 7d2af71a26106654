"""`bascule serve --embedded` as a process of its own, to be killed and started again over the same folder."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from orchestrator.stores.embedded import EmbeddedError, start_embedded

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 20.0
CLAIM_TIMEOUT_S: Final = 5.0
LAST_WORDS_BYTES: Final = 2000
POLL_S: Final = 0.02


class DemoError(Exception):
    """The demo did not show what it should; the message says what happened instead."""


class DemoServer:
    """One process at a time; folder, port and token stay."""

    def __init__(self, folder: Path, token: str) -> None:
        self._state = folder / "state"
        self._log = folder / "server.log"
        self._token = token
        self._port = 0
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""

    async def start(self) -> None:
        """Run it until it says that it is ready; raises `DemoError`."""
        place = ("--host", "127.0.0.1", "--port", str(self._port), "--state-dir", str(self._state))
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "orchestrator", "serve", "--embedded", *place, "--log-format", "json",
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log,
                # The token is not for `ps`; a Ctrl-C at our terminal is for us, not for the server.
                env={**os.environ, "BASCULE_AUTH__DEV_TOKEN": self._token}, start_new_session=True,
            )  # fmt: skip
        assert self._process.stdout is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_TIMEOUT_S):
                line = (await self._process.stdout.readline()).decode()
                if line.startswith("ready "):
                    self.url = line.split()[1]
                    self._port = int(self.url.rsplit(":", 1)[1])
                    return
        raise DemoError(f"the server did not start (`bascule doctor` may say why):\n{self._last_words()}")

    def _last_words(self) -> str:
        return self._log.read_bytes()[-LAST_WORDS_BYTES:].decode("utf-8", "replace")

    async def kill(self) -> int:
        """End it with -9; its process id."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()
        return self._process.pid

    async def stop(self) -> None:
        """End it in order, and its Redis whatever happened before."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                await self.kill()
        if (self._state / "redis" / "redis.sock").exists():
            with contextlib.suppress(EmbeddedError):
                await (await start_embedded(self._state / "redis")).stop_even_if_found()

    async def worker_of(self, session: str) -> str:
        """The worker that the session was given last, as the server's log has it; raises `DemoError`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLAIM_TIMEOUT_S):
                while not (claimed := list(self._claims(session))):
                    await asyncio.sleep(POLL_S)
                return claimed[-1]
        raise DemoError("the server's log names no worker for the session")

    def _claims(self, session: str) -> Iterator[str]:
        for line in self._log.read_text(errors="replace").splitlines():
            if '"worker claimed"' in line and session in line:
                yield str(json.loads(line)["worker"])


def kill_worker(worker: str) -> list[int]:
    """End every process of an embedded worker with -9, found by the id in their command lines; their process ids."""
    parents, doomed = _processes(worker)
    for _ in parents:
        found = [pid for pid, parent in parents.items() if parent in doomed and pid not in doomed]
        if not found:
            break
        doomed += found
    # Parents first: one that outlived its child for a moment would end by itself.
    for pid in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if not doomed:
        raise DemoError(f"no process of worker {worker} was found")
    return sorted(doomed)


def _processes(worker: str) -> tuple[dict[int, int], list[int]]:
    """Parents of all processes, and those whose command line names the worker."""
    parents, named = {}, []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError):
            # The second field is the name in parentheses, and may hold anything; the parent comes two after it.
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if worker.encode() in (folder / "cmdline").read_bytes():
                named.append(int(folder.name))
    return parents, named


@contextlib.contextmanager
def throw_away_folder() -> Iterator[Path]:
    """A folder for one demo. Sessions run as users of their own, who must be able to go through it."""
    folder = Path(tempfile.mkdtemp(prefix="bascule-demo-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
