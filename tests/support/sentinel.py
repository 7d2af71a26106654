"""A primary, its replica and a Sentinel, all of a test's own, that fail over when the primary is killed."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from support.certificates import free_port
from support.redis_server import RedisServer

SERVICE = "sessions"
DOWN_AFTER_MS = 400
PATIENCE_S = 30.0


class Failover:
    """`primary` and `replica` are where they began; `url` is for a store."""

    def __init__(self, binary: str, folder: Path) -> None:
        self._binary, self._folder = binary, folder
        self.ports = free_port(), free_port()
        self.sentinel_port = free_port()
        self.primary = self._server("primary", self.ports[0])
        self.replica = self._server("replica", self.ports[1], replicaof=f"127.0.0.1 {self.ports[0]}")
        self.until(lambda: b"master_link_status:up" in self.replica.command("INFO", "replication"))
        self._sentinel = self._start_sentinel()
        self.until(self._is_watched)

    @property
    def url(self) -> str:
        """Where the Sentinel is; a second one that is away stands before it."""
        return f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{self.sentinel_port}/{SERVICE}"

    def _server(self, name: str, port: int, **settings: str) -> RedisServer:
        folder = self._folder / name
        folder.mkdir()
        return RedisServer(
            self._binary, folder, port=str(port), bind="127.0.0.1", repl_diskless_sync_delay="0", **settings
        )

    def _start_sentinel(self) -> subprocess.Popen[bytes]:
        config = self._folder / "sentinel.conf"
        config.write_text(
            f"port {self.sentinel_port}\nbind 127.0.0.1\ndir {self._folder}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.ports[0]} 1\n"
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}\nsentinel failover-timeout {SERVICE} 5000\n"
        )
        with (self._folder / "sentinel.log").open("ab") as log:
            return subprocess.Popen([self._binary, str(config), "--sentinel"], stdout=log, stderr=log)

    def _is_watched(self) -> bool:
        """Whether the Sentinel knows of the replica: before, it would have nobody to promote."""
        return f"known-replica {SERVICE} 127.0.0.1 {self.ports[1]}" in (self._folder / "sentinel.conf").read_text()

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for it."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, (self._folder / "sentinel.log").read_text()[-1500:]
            time.sleep(0.02)

    def cut_off_replica(self) -> None:
        """The replica hears nothing more of the primary; whoever is connected to that goes on."""
        self.primary.command("CONFIG", "SET", "requirepass", "not for replicas")
        with_password = b"*2\r\n$4\r\nAUTH\r\n$16\r\nnot for replicas\r\n"
        self.primary.command("CLIENT", "KILL", "TYPE", "replica", before=with_password)
        self.until(lambda: b"master_link_status:down" in self.replica.command("INFO", "replication"))

    def fail_over(self) -> None:
        """The primary is killed; until the replica has its place."""
        self.primary.kill()
        self.until(self._is_promoted)

    def _is_promoted(self) -> bool:
        try:
            return b"role:master" in self.replica.command("INFO", "replication")
        except ConnectionError:
            return False  # a Sentinel hangs up on everybody when it promotes

    def close(self) -> None:
        """End all of it."""
        self._sentinel.send_signal(signal.SIGKILL)
        self._sentinel.wait()
        for server in (self.primary, self.replica):
            server.kill()
