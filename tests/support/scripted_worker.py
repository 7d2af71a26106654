"""`python scripted_worker.py SOCKET FOLDER`: the real agent, and an interpreter that does what code says.

The code of a request is Python that sees `reply` (the outcome's JSON), `control`, `states` and `send(kind, ...)`; what
it does is done in the interpreter's process. Restores succeed unless the manifest is `bad`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "worker-image")]

from replwire.frames import SEQ, Frame, FrameReader, Kind, pack_frame  # noqa: E402
from replworker.agent.worker import run_worker  # noqa: E402
from replworker.packets import send_frame  # noqa: E402


class Script:
    """The interpreter's side of the control socket."""

    def __init__(self, control: socket.socket, states: socket.socket) -> None:
        self.control = control
        self.states = states
        self.reader = FrameReader()
        self.busy = False

    def next_frame(self) -> Frame:
        """Wait for one; the end of the socket is the end of the process."""
        while True:
            for frame in self.reader:
                return frame
            data = self.control.recv(1 << 18)
            if not data:
                os._exit(0)
            self.reader.feed(data)

    def send(self, kind: int, *parts: bytes, flags: int = 0, channel: socket.socket | None = None) -> None:
        """A frame to the agent."""
        frame = pack_frame(kind, parts, flags=flags)
        if channel is self.states:
            send_frame(channel, frame)
        else:
            self.control.sendall(frame)

    def restore(self, frame: Frame) -> None:
        """Take the chunks and say how it went."""
        count = json.loads(frame.parts[0])["chunks"]
        chunks = [self.next_frame().parts for _ in range(count)]
        report: dict[str, Any] = {"unsaved": {"chunks": str(len(chunks)), "said": frame.parts[0].decode()}}
        if frame.parts[1] == b"bad":
            report = {"error": {"code": "restore_failed", "message": "not a checkpoint"}}
        self.send(Kind.RESTORED, json.dumps(report).encode())

    def run(self, frame: Frame) -> None:
        """Do what the code says, then DONE."""
        seq, type_, id_, body = frame.parts
        reply: dict[str, Any] = {"output": None, "error": None, "type": type_.decode(), "flags": frame.flags}
        scope = {
            "reply": reply, "script": self, "send": self.send, "Kind": Kind, "SEQ": SEQ, "seq": seq, "id": id_,
            "os": os, "json": json, "done": (b"manifest", b""), "flags": 0, "next_frame": self.next_frame,
        }  # fmt: skip
        try:
            self.busy = True
            exec(json.loads(body).get("code", ""), scope)
        except KeyboardInterrupt:
            reply["error"] = {"name": "KeyboardInterrupt"}
        finally:
            self.busy = False
        self.send(Kind.DONE, json.dumps(reply).encode(), *scope["done"], flags=scope["flags"])  # type: ignore[misc,arg-type]

    def interrupted(self, number: int, frame: Any) -> None:
        """SIGINT."""
        if self.busy:
            raise KeyboardInterrupt


def run_script(
    control: socket.socket, states: socket.socket, pipes: socket.socket, shadows: socket.socket, *, work_folder: str
) -> NoReturn:
    """The interpreter's process."""
    os.chdir(work_folder)
    script = Script(control, states)
    signal.signal(signal.SIGINT, script.interrupted)
    script.send(Kind.READY, b"{}")
    while True:
        frame = script.next_frame()
        if frame.kind == Kind.RESTORE:
            script.restore(frame)
        elif frame.kind == Kind.RUN:
            script.run(frame)


if __name__ == "__main__":
    sys.exit(run_worker(sys.argv[1], sys.argv[2], run_script))
