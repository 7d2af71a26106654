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
from orchestrator.runtimes import docker_words as words
from orchestrator.runtimes.asking import has_swap

NAME: Final = "runtime docker"
DEFAULT_HOST: Final = "unix:///var/run/docker.sock"
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


def docker(*images: str, host: str | None = None, engine_runtime: str | None = None) -> Finding:
    """Engine, API version, cgroup version, runtimes, and whether it can run workers of these images."""
    host = host or os.environ.get("DOCKER_HOST") or DEFAULT_HOST
    if (complaint := words.host_complaint(host)) is not None:
        return Finding(NAME, False, *_apart(complaint))
    path = host.partition("://")[2]
    try:
        version, info = _ask(path, "/version") or {}, _ask(path, "/info") or {}
        found = {image: _ask(path, f"/images/{quote(image, safe='')}/json") for image in images}
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Finding(NAME, False, f"no engine answers at {path}: {error}", _engine_fix(path))
    facts = {
        "engine": version.get("Version"), "api": version.get("ApiVersion"), "cgroup": info.get("CgroupVersion"),
        "storage": info.get("Driver"), "runtimes": sorted(info.get("Runtimes", {})),
        "images": {image: inspected is not None for image, inspected in found.items()},
    }  # fmt: skip
    complaint = words.api_complaint(facts["api"]) or words.engine_complaint(info, engine_runtime, has_swap=has_swap())
    return _judged(facts, complaint or _image_complaint(found))


def _image_complaint(found: dict[str, Any]) -> str | None:
    said = (words.image_complaint(name, it) if it is not None else words.no_image(name) for name, it in found.items())
    return next((complaint for complaint in said if complaint is not None), None)


def _judged(facts: dict[str, Any], complaint: str | None) -> Finding:
    seen = f"engine {facts['engine']}, API {facts['api']}, cgroup v{facts['cgroup']}"
    seen += f", runtimes {', '.join(facts['runtimes'])}"
    if complaint is not None:
        what, fix = _apart(complaint)
        return Finding(NAME, False, f"{seen}; {what}", fix, facts)
    return Finding(NAME, True, f"{seen}; image {', '.join(facts['images'])}", "", facts)


def _apart(complaint: str) -> tuple[str, str]:
    """What is wrong, and what helps: the words of the runtime have both, with a colon between."""
    what, _, fix = complaint.rpartition(": ")
    return (what, fix) if what else (complaint, "")


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
