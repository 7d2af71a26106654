"""`bascule serve` as a process of its own, to be killed and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

TOKEN = "a-token-for-tests"
START_PATIENCE_S = 60.0


class Server:
    """One server process at a time, always over the same state folder and port."""

    def __init__(
        self, state: Path, *arguments: str, environment: dict[str, str] | None = None, module: str = "orchestrator"
    ) -> None:
        self._state = state
        self._module = module
        self.arguments = arguments
        """Of the next start, after those that every server of the tests has."""
        self.environment = environment or {}
        """Of the next start, beside ours."""
        self._process: asyncio.subprocess.Process | None = None
        self._port = 0
        self.url = ""

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Run it until it says that it is ready."""
        words = (
            "serve",
            "--host",
            "127.0.0.1",
            "--port",
            str(self._port),
            "--dev-token",
            TOKEN,
            "--state-dir",
            str(self._state),
        )
        log = self.log_file.open("ab")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", self._module, *words, *self.arguments,
            stdout=asyncio.subprocess.PIPE, stderr=log, env={**os.environ, **self.environment}, start_new_session=True,
        )  # fmt: skip
        log.close()
        assert self._process.stdout is not None
        async with asyncio.timeout(START_PATIENCE_S):
            while line := (await self._process.stdout.readline()).decode():
                if line.startswith("ready "):
                    self.url = line.split()[1]
                    self._port = int(self.url.rsplit(":", 1)[1])
                    return
        raise AssertionError(f"the server ended with {await self._process.wait()}: {self.log()[-2000:]}")

    @property
    def log_file(self) -> Path:
        """Where its stderr goes, over all starts."""
        return self._state.parent / "server.log"

    def log(self) -> str:
        """What it wrote to stderr, over all starts."""
        return self.log_file.read_text(errors="replace")

    async def kill(self) -> None:
        """As the kernel's out-of-memory killer would."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """As an orderly shutdown does; its exit status."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        status = await self._process.wait()
        self._process = None
        return status

    async def ends_by_itself(self, within_s: float) -> bool:
        """Whether its process is over in time, though nobody ended it from here."""
        assert self._process is not None
        try:
            await asyncio.wait_for(self._process.wait(), within_s)
        except TimeoutError:
            return False
        return True

    @property
    def runs(self) -> bool:
        """Whether there is a process to end."""
        return self._process is not None

    def resident_bytes(self) -> int:
        """Memory of the server's process, in RAM."""
        text = Path(f"/proc/{self.pid}/statm").read_text()
        return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")
