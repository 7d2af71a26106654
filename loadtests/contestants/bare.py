"""The plainest REPL in a container of the worker image, and in a sandbox: what such a start takes without Bascule."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from asyncio.subprocess import PIPE
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import docker

from loadtests import services
from loadtests.contestants import plain_repl
from loadtests.contestants.bubblewrap import bare_sandbox, check_bubblewrap
from loadtests.contestants.contestant import Contestant
from loadtests.contestants.docker_engine import IMAGE, check_docker
from loadtests.figures import percentile
from loadtests.goals import BARE_BUBBLEWRAP, BARE_DOCKER
from loadtests.measuring import Values, check
from loadtests.sizes import Sizes

PROGRAM: Final = Path(plain_repl.__file__)
ANSWER_TIMEOUT_S: Final = 30.0
QUESTION: Final = b'{"code": "1+1"}\n'
STREAM_HEAD_BYTES: Final = 8
"""What the engine puts before each piece of output."""

LOCKS: Final = {
    "NetworkMode": "none", "ReadonlyRootfs": True, "CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"],
    "PidsLimit": 64, "Memory": 256 << 20, "MemorySwap": 256 << 20, "NanoCpus": 10**9, "LogConfig": {"Type": "none"},
}  # fmt: skip
BODY: Final = {
    "Image": IMAGE, "Cmd": ["python3", "-I", "-S", "-E", "-c", PROGRAM.read_text(encoding="utf-8")],
    "HostConfig": LOCKS, "User": "65534:65534", "NetworkDisabled": True, "OpenStdin": True, "StdinOnce": True,
    "AttachStdin": True, "AttachStdout": True,
}  # fmt: skip


def _two(answer: bytes) -> None:
    check(bool(answer), "no answer")
    check(json.loads(answer)["output"] == "2", f"1+1 is {answer.decode()}")


async def _docker_cold(sizes: Sizes) -> Values:
    # A thread is waited for before the program ends, so an interrupt leaves no container either.
    samples = [await asyncio.to_thread(_docker_start_ms) for _ in range(sizes.cold_starts)]
    return {"start.cold.p50": percentile(samples, 0.5)}


def _docker_start_ms() -> float:
    """By the engine's API, as Bascule does it: its command line takes 100 ms of its own."""
    with contextlib.closing(docker.APIClient(version="auto", timeout=int(ANSWER_TIMEOUT_S))) as engine:
        began = time.perf_counter()
        with _container(engine) as id_:
            attached = engine.attach_socket(id_, params={"stdin": 1, "stdout": 1, "stream": 1})
            with contextlib.closing(attached._sock) as connection:
                connection.settimeout(ANSWER_TIMEOUT_S)
                engine.start(id_)
                connection.sendall(QUESTION)
                answer = connection.recv(1 << 16)
                took_ms = (time.perf_counter() - began) * 1e3
    _two(answer[STREAM_HEAD_BYTES:])
    return took_ms


@contextlib.contextmanager
def _container(engine: Any) -> Iterator[str]:
    id_: str = engine.create_container_from_config(BODY, None)["Id"]
    try:
        yield id_
    finally:
        engine.remove_container(id_, force=True)


async def _bubblewrap_cold(sizes: Sizes) -> Values:
    with services.throw_away_folder() as folder:
        words = bare_sandbox(PROGRAM, folder / "python")
        samples = [await _sandbox_start_ms(words, folder / "log") for _ in range(sizes.cold_starts)]
    return {"start.cold.p50": percentile(samples, 0.5)}


async def _sandbox_start_ms(words: Sequence[str], log: Path) -> float:
    began = time.perf_counter()
    async with services.running(words, log, stdin=PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(QUESTION)
        answer = await asyncio.wait_for(process.stdout.readline(), ANSWER_TIMEOUT_S)
        took_ms = (time.perf_counter() - began) * 1e3
        _two(answer)
    return took_ms


BARE_ON_DOCKER: Final = Contestant(BARE_DOCKER, check_docker, {"start.cold": _docker_cold})
BARE_ON_BUBBLEWRAP: Final = Contestant(BARE_BUBBLEWRAP, check_bubblewrap, {"start.cold": _bubblewrap_cold})
