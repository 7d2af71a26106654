"""What one piece of a campaign runs on: a Redis of its own, front doors before it, and bad networks between them.

Everything lies in one folder and listens on loopback; at the end everything that was started is ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from durability.faulty_server import FAULTS, PLANTED
from orchestrator.stores.keys import session_keys
from support.fault_proxy import FaultProxy
from support.redis_server import RedisServer, binaries
from support.server import Server
from support.workers import kill_container, kill_interpreter, kill_sandbox

TESTS: Final = Path(__file__).parents[1]
CLEAN_TIMEOUT_S: Final = 60

SETTINGS: Final = {
    "engine.pool_size": "2",
    "engine.commit_wait_ms": "300",
    "engine.handover_ms": "300",
    "engine.worker_lost_ms": "1500",
    "engine.replace_deadline_s": "2",
    "engine.sweep_interval_s": "1",
    "server.requests_per_s_max": "5000",
    "server.request_burst_max": "5000",
}
"""Times of a server that make a campaign's faults longer than its time-outs."""


IMAGE: Final = {"bubblewrap": (), "docker": ("--image", "bascule-worker:data")}
"""Some sessions have arrays."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What a ground has. `runtime` is `bubblewrap`, whose workers end with their server, or `docker`."""

    runtime: str = "bubblewrap"
    doors: int = 1
    bad_network: bool = False
    """Between clients and front doors."""
    bad_store_network: bool = False
    """Between front doors and Redis."""
    bug: str = ""
    """Of `planted.py`, in every front door."""
    settings: dict[str, str] = field(default_factory=dict)


class Ground:
    """Made by `ground`."""

    def __init__(self, folder: Path, layout: Layout, random: Random) -> None:
        self.folder, self.layout = folder, layout
        (folder / "redis").mkdir()
        self.redis = RedisServer(next(iter(binaries().values())), folder / "redis")
        self.store_network = FaultProxy(self.redis.socket, folder / "redis" / "p", random=random)
        self.networks: list[FaultProxy] = []
        self._keys = {"BASCULE_KEYS__STAMP": secrets.token_hex(32), "BASCULE_KEYS__SEAL": secrets.token_hex(32)}
        self.doors = [self._door(number) for number in range(layout.doors)]
        self._random = random

    def _door(self, number: int) -> Server:
        state = self.folder / f"door-{number}" / "state"
        state.parent.mkdir(mode=0o755)
        store = self.folder / "redis" / "p" if self.layout.bad_store_network else self.redis.socket
        words = ["--runtime", self.layout.runtime, "--redis-url", f"unix://{store}", *IMAGE[self.layout.runtime]]
        for name, value in (SETTINGS | self.layout.settings).items():
            words += ["--set", f"{name}={value}"]
        return Server(state, *words, environment=self.environment(), module="durability.faulty_server")

    def environment(self, plan: str = "") -> dict[str, str]:
        """Of a server's next start; with a plan, it carries that out."""
        paths = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
        return {**self._keys, "PYTHONPATH": paths, FAULTS: plan, PLANTED: self.layout.bug}

    async def start(self) -> None:
        """Redis runs already; the networks and the doors."""
        await self.store_network.start()
        for door in self.doors:
            await door.start()
            network = FaultProxy(("127.0.0.1", int(door.url.rsplit(":", 1)[1])), random=self._random)
            await network.start()
            self.networks.append(network)

    def urls(self) -> list[str]:
        """Where clients dial, door by door."""
        if self.layout.bad_network:
            return [f"ws://127.0.0.1:{network.port}" for network in self.networks]
        return [door.url for door in self.doors]

    async def stop(self) -> None:
        """End all of it; what is stopped is woken first, and what was left behind is cleared away."""
        for network in (*self.networks, self.store_network):
            with contextlib.suppress(AssertionError):
                await network.stop()
        for door in self.doors:
            if door.runs:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(door.pid, signal.SIGCONT)
                await door.kill()
        self.redis.kill()
        await asyncio.to_thread(self._clear)

    def _clear(self) -> None:
        workers = [entry.name for entry in self.folder.glob("door-*/state/workers/wrk_*")]
        if workers and self.layout.runtime == "docker":
            words = ["docker", "rm", "--force", "--volumes", *workers]
            subprocess.run(words, capture_output=True, timeout=CLEAN_TIMEOUT_S)
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- faults -------------------------------------------------------------------------------------------------

    async def kill_worker(self, session: str) -> bool:
        """-9 to the worker that the session has now; False when it has none."""
        worker = await asyncio.to_thread(self.worker_of, session)
        if not worker:
            return False
        kill = kill_container if self.layout.runtime == "docker" else kill_sandbox
        try:
            await asyncio.to_thread(kill, worker)
        except subprocess.CalledProcessError:
            return False
        return True

    async def kill_interpreter(self, session: str) -> bool:
        """-9 to the process that runs the session's code, whose worker lives on; False when there is none."""
        worker = await asyncio.to_thread(self.worker_of, session)
        try:
            return bool(worker) and await asyncio.to_thread(kill_interpreter, worker, self.layout.runtime)
        except (subprocess.CalledProcessError, OSError):  # all of it ends already
            return False

    def worker_of(self, session: str) -> str:
        """As the store's record has it; empty: none."""
        text = self._of_record(session, "worker")
        found: str = json.loads(text)["worker"] if text else ""
        return found

    def _of_record(self, session: str, field: str) -> bytes:
        reply = self.redis.command("HGET", session_keys(session).record, field)
        head, _, rest = reply.partition(b"\r\n")
        return rest[: int(head[1:])] if head.startswith(b"$") and int(head[1:]) > 0 else b""

    async def has_another_worker(self, session: str, worker: str, within_s: float) -> bool:
        """Whether the session gets one in time."""
        deadline = asyncio.get_running_loop().time() + within_s
        while asyncio.get_running_loop().time() < deadline:
            if await asyncio.to_thread(self.worker_of, session) not in ("", worker):
                return True
            await asyncio.sleep(0.005)
        return False

    async def restart_redis(self, away_s: float) -> None:
        """-9, and again on the same files after a while."""
        await asyncio.to_thread(self.redis.kill)
        await asyncio.sleep(away_s)
        await asyncio.to_thread(self.redis.start)

    def logs(self) -> str:
        """What all doors wrote."""
        return "".join(door.log() for door in self.doors)


@contextlib.asynccontextmanager
async def ground(layout: Layout, random: Random) -> AsyncIterator[Ground]:
    """One that runs; session uids can go through its folder."""
    folder = Path(tempfile.mkdtemp(prefix="bascule-campaign-"))
    folder.chmod(0o755)
    made = Ground(folder, layout, random)
    try:
        await made.start()
        yield made
    finally:
        await made.stop()


def is_stopped(pid: int) -> bool:
    """Whether a process was stopped by a signal."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False
