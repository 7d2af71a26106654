"""Conformance under fire: the worker is killed with -9 before every Nth example, and the transcript goes on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtests.client import Payload, ReplClient, RequestFailed
from loadtests.conformance.losses import Losses
from loadtests.contestants.contestant import Unavailable
from loadtests.processes import descendants
from loadtests.services import output_of

UNDONE: Final = frozenset({"worker_died", "worker_crashed", "worker_unresponsive", "rolled_back", "busy", "capacity"})
"""Errors that say that the example did not happen: it is sent again, as a user would."""

TRIES_MAX: Final = 20
TRY_AGAIN_S: Final = 0.1

Kill = Callable[[str], Awaitable[bool]]
"""Ends the worker of a session as a stranger would; whether it lived until then."""


@dataclass(frozen=True, slots=True)
class Fire:
    """How often, and how."""

    every: int
    kill: Kill


class Gunner:
    """Sends the examples of one session; without `fire` nothing is killed."""

    def __init__(self, client: ReplClient, fire: Fire | None) -> None:
        self._client = client
        self._fire = fire
        self._count = 0
        self._unsaved: list[str] = []
        self.kills = 0
        self.losses = Losses()

    async def prepare(self, code: str) -> None:
        """An eval that is no example: a doctest begins anew, and nothing of before is missed."""
        self.losses = Losses()
        await self._sent(code)

    async def example(self, source: str) -> Payload:
        """The `result` of an example; raises `RequestFailed`."""
        self._count += 1
        if self._fire is not None and self._count % self._fire.every == 0:
            self.kills += await self._fire.kill(self._client.session)
            self.losses.died(self._unsaved)
        return await self._sent(source)

    async def _sent(self, code: str) -> Payload:
        for _ in range(TRIES_MAX - 1):
            try:
                return self._heard(await self._client.eval(code))
            except RequestFailed as error:
                if self._fire is None or error.code not in UNDONE:
                    raise
            # An eval that ran when the worker died was undone, with all that its worker had in hand.
            self.losses.died(self._unsaved)
            await asyncio.sleep(TRY_AGAIN_S)
        return self._heard(await self._client.eval(code))

    def _heard(self, payload: Payload) -> Payload:
        self._unsaved = list(payload.get("unsaved", ()))
        return payload


class Claims:
    """Which worker a session has, as the log of its server tells."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._offset = 0
        self._workers: dict[str, str] = {}

    def worker_of(self, session: str) -> str:
        """The last one; raises `LookupError`."""
        with self._log.open("rb") as file:
            file.seek(self._offset)
            for line in iter(file.readline, b""):
                if not line.endswith(b"\n"):
                    break
                self._offset = file.tell()
                self._note(line)
        return self._workers[session]

    def _note(self, line: bytes) -> None:
        if b'"worker claimed"' in line:
            said = json.loads(line)
            self._workers[said["session_id"]] = said["worker"]


def killer(runtime: str, log: Path, server_pid: int) -> Kill:
    """For a server of ours on this machine."""
    claims = Claims(log)

    async def kill(session: str) -> bool:
        worker = claims.worker_of(session)
        return await kill_container(worker) if runtime == "docker" else kill_sandbox(worker, server_pid)

    return kill


async def kill_container(worker: str) -> bool:
    """-9 to a container; False when the engine has none of that name that runs."""
    try:
        await output_of("docker", "kill", "--signal", "KILL", worker)
    except Unavailable:
        return False
    return True


def kill_sandbox(worker: str, server_pid: int) -> bool:
    """-9 to every process below the server whose command line has the worker's folder, and to all below those; False
    without one. The kernel ends a sandbox with its first process, but only soon."""
    found = [pid for pid in descendants(server_pid) if worker.encode() in _words(pid)]
    for pid in {inner for outer in found for inner in (outer, *descendants(outer))}:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return bool(found)


def _words(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
