"""Workers whose agent a test scripts, frame by frame: what a tenant could do who got hold of the whole sandbox."""

from __future__ import annotations

import asyncio
import json
import socket
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from orchestrator.core.sandbox import SandboxSpec
from orchestrator.core.session import WorkerAddress
from orchestrator.ports import WorkerFate
from orchestrator.runtimes.dialling import dial_unix
from replwire.frames import OUTCOME_HEAD, Frame, FrameReader, Kind, pack_frame

TOLD: Final = {
    "output": "1", "error": None, "receipt": {"wall_s": 0.1, "cpu_s": 0.1, "peak_memory_bytes": 1},
}  # fmt: skip
WELCOME: Final = {"generation": 1, "seq": 0, "committed": 0, "event": 0, "unsaved": {}, "running": None}


class HostileAgent:
    """One link to one front door. `script` is asked for every REQUEST, with this and the frame."""

    def __init__(self, writer: asyncio.StreamWriter, script: Script, welcome: dict[str, Any]) -> None:
        self._writer = writer
        self._script = script
        self._welcome = welcome
        self.seq = 0

    def say(self, kind: int, *parts: bytes, ref: int = 0) -> None:
        """One frame to the front door."""
        self._writer.write(pack_frame(kind, parts, ref=ref))

    def say_json(self, kind: int, body: dict[str, Any], *, ref: int = 0) -> None:
        """One frame of JSON."""
        self.say(kind, json.dumps(body).encode(), ref=ref)

    def outcome(self, request: Frame, **lies: Any) -> None:
        """The outcome of a request, honest but for what is given."""
        _, id_, type_, hashed, stamp, principal, body = request.parts
        self.seq += 1
        head = OUTCOME_HEAD.pack(lies.get("seq", self.seq), 0, lies.get("last_event", 0), 0, 0)
        said = TOLD | lies.get("told", {})
        told = json.dumps({name: said[name] for name in said if name not in lies.get("without", ())}).encode()
        parts = (
            head, lies.get("id", id_), lies.get("type", type_), lies.get("hash", hashed), lies.get("stamp", stamp),
            lies.get("principal", principal), lies.get("body", body), told, b"", b"", b"manifest",
            lies.get("references", b""),
        )  # fmt: skip
        self.say(Kind.OUTCOME, *parts, ref=request.ref)

    def serve(self, frame: Frame) -> None:
        """What comes from the front door."""
        if frame.kind == Kind.CLAIM:
            self.seq = json.loads(frame.parts[0])["seq"]
        if frame.kind in (Kind.CLAIM, Kind.ATTACH):
            self.say_json(Kind.WELCOME, self._welcome, ref=frame.ref)
        elif frame.kind == Kind.REQUEST:
            self._script(self, frame)


Script = Callable[[HostileAgent, Frame], None]


def honest(agent: HostileAgent, request: Frame) -> None:
    """Do as an agent does."""
    agent.outcome(request)


class HostileRuntime:
    """A `ports.Runtime` whose workers are scripted one after the other; the last script is for all further ones."""

    name = "hostile"
    survives_server = False

    def __init__(self, *scripts: Script, welcome: dict[str, Any] | None = None) -> None:
        self._scripts = list(scripts)
        self.welcome = WELCOME if welcome is None else welcome
        self._folder = tempfile.TemporaryDirectory(prefix="bascule-ho-")
        self.workers: dict[str, asyncio.Server] = {}
        self.stopped: list[str] = []

    async def start(self, spec: SandboxSpec) -> WorkerAddress:
        """See `ports.Runtime`."""
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        path = Path(self._folder.name) / spec.worker[-8:]

        async def linked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            agent = HostileAgent(writer, script, self.welcome)
            agent.say_json(Kind.HELLO, {})
            frames = FrameReader()
            while data := await reader.read(1 << 16):
                frames.feed(data)
                for frame in frames:
                    agent.serve(frame)
            writer.close()

        self.workers[spec.worker] = await asyncio.start_unix_server(linked, path)
        return WorkerAddress(self.name, spec.worker, str(path), path.lstat().st_uid)

    async def dial(self, address: WorkerAddress) -> socket.socket:
        """See `ports.Runtime`."""
        return dial_unix(Path(address.address), address.uid)

    async def stop(self, worker: str) -> None:
        """See `ports.Runtime`."""
        server = self.workers.pop(worker, None)
        if server is not None:
            self.stopped.append(worker)
            server.close()

    async def fate(self, worker: WorkerAddress) -> WorkerFate:
        """See `ports.Runtime`."""
        return WorkerFate(alive=worker.worker in self.workers)

    async def list_workers(self) -> Sequence[str]:
        """See `ports.Runtime`."""
        return sorted(self.workers)

    async def close(self) -> None:
        """End all workers."""
        for worker in tuple(self.workers):
            await self.stop(worker)
        self._folder.cleanup()
