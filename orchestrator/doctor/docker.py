"""The Docker engine, asked over its own socket: no client library is needed to know whether one answers."""

from __future__ import annotations

import http.client
import json
import os
import socket
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from orchestrator.doctor.findings import Finding

NAME: Final = "runtime docker"
DEFAULT_HOST: Final = "unix:///var/run/docker.sock"
API_MIN: Final = (1, 41)
ANSWER_TIMEOUT_S: Final = 10.0
ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=ANSWER_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def docker(image: str) -> Finding:
    """Engine, API version, cgroup version, runtimes, and whether the worker image is there."""
    host = os.environ.get("DOCKER_HOST", DEFAULT_HOST)
    if not host.startswith("unix://"):
        return Finding(
            NAME, False, f"DOCKER_HOST is {host}", "workers are dialled by Unix socket: use an engine of this machine"
        )
    path = host.removeprefix("unix://")
    try:
        version, info = _ask(path, "/version"), _ask(path, "/info")
        has_image = _ask(path, f"/images/{quote(image, safe='')}/json") is not None
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Finding(NAME, False, f"no engine answers at {path}: {error}", _engine_fix(path))
    facts = {
        "engine": version.get("Version"), "api": version.get("ApiVersion"), "cgroup": info.get("CgroupVersion"),
        "storage": info.get("Driver"), "runtimes": sorted(info.get("Runtimes", {})), "image": has_image,
    }  # fmt: skip
    return _judged(image, facts)


def _judged(image: str, facts: dict[str, Any]) -> Finding:
    runtimes = ", ".join(facts["runtimes"])
    words = f"engine {facts['engine']}, API {facts['api']}, cgroup v{facts['cgroup']}, runtimes {runtimes}"
    if _number(facts["api"]) < API_MIN:
        return Finding(
            NAME, False, words, f"API {'.'.join(map(str, API_MIN))} is the least: take Docker 20.10 or newer", facts
        )
    if not facts["image"]:
        return Finding(NAME, False, f"{words}; no image {image}", f"docker build -t {image} worker-image", facts)
    return Finding(NAME, True, f"{words}; image {image}", "", facts)


def _ask(path: str, address: str) -> Any:
    """The engine's answer, None for 404; raises `OSError`, `ValueError`, `HTTPException`."""
    connection = _UnixConnection(path)
    try:
        connection.request("GET", address)
        answer = connection.getresponse()
        body = answer.read(ANSWER_BYTES_MAX)
    finally:
        connection.close()
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise ValueError(f"status {answer.status}")
    return json.loads(body)


def _engine_fix(path: str) -> str:
    if Path(path).exists() and not os.access(path, os.W_OK):
        return "this user may not use it: `sudo usermod -aG docker $USER`, then log in again"
    return "install and start Docker (`apt install docker.io`, `systemctl start docker`), or use --embedded"


def _number(text: object) -> tuple[int, ...]:
    return tuple(int(part) for part in str(text).split(".") if part.isdigit())
