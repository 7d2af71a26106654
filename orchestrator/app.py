"""Builds a server from its settings, runs it until it is told to end, and ends it in order.

The only file that knows every part; store and authenticators are put together beside it. Adapters are imported when
they are chosen, so that what is not used need not be installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import os
import resource
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from importlib import metadata
from typing import Final

import structlog

from orchestrator.auth.tickets import Tickets
from orchestrator.authenticators import build_authenticator
from orchestrator.engine.configuration import EngineConfig
from orchestrator.engine.engine import Engine
from orchestrator.freed_memory import keep_freed_memory
from orchestrator.ports import Runtime
from orchestrator.runtimes.folders import FolderError, Folders
from orchestrator.runtimes.state_lock import StateError, only_server
from orchestrator.settings import Settings, check_for_serving
from orchestrator.store_parts import StartError, build_store, look_at_store
from orchestrator.telemetry.metrics import Metrics
from orchestrator.transports.http_server import HttpServer
from orchestrator.transports.listening import ListenError

WORKERS: Final = "workers"
INSTALLATION_CHARS: Final = 16

_log = structlog.get_logger("bascule.app")


class SystemClock:
    """The clock of this machine."""

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    def now(self) -> float:
        """Unix seconds."""
        return time.time()


def run(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; `announce` hears when clients can connect. `StartError`, `SettingsError`."""
    check_for_serving(settings)
    _raise_open_files()
    keep_freed_memory()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, announce))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _raise_open_files() -> None:
    """A connection and a worker's link are a file each: take all that this process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(settings: Settings, announce: Callable[[str], None]) -> None:
    ended = _signals()
    async with contextlib.AsyncExitStack() as parts:
        try:
            folder_name = parts.enter_context(only_server(settings.state_folder))
        except StateError as error:
            raise StartError(str(error)) from None
        door = await _build(settings, _server_name(folder_name), parts)
        if not ended.is_set():
            announce(f"ready {door.url}")
            _log.info("server started", url=door.url, metrics_port=door.metrics_port)
            gc.collect()
            gc.freeze()
        await ended.wait()
        _log.info("server stopping")
    _log.info("server stopped")


async def _build(settings: Settings, name: str, parts: contextlib.AsyncExitStack) -> HttpServer:
    """Every part of the server of that name, each to be ended by `parts` in the reverse order."""
    metrics = Metrics(version())
    authenticator, rounds = build_authenticator(settings)
    config = settings.engine_config()
    found = await build_store(settings, metrics)
    if found.private is not None:
        parts.push_async_callback(found.private.stop_even_if_found)
    if found.blobs is not None:
        parts.push_async_callback(found.blobs.close)
    await look_at_store(found.store)
    runtime = await build_runtime(settings, config)
    engine = Engine(
        runtime=runtime, store=found.store, clock=SystemClock(), config=config, metrics=metrics, server_name=name
    )
    parts.push_async_callback(engine.close)
    tickets = Tickets(config.stamp_key, found.store.spend, authenticator.stands)
    door = HttpServer(engine, authenticator, settings.http_config(), metrics, tickets)
    parts.push_async_callback(door.stop)
    try:
        door.claim_ports()
    except ListenError as error:
        raise StartError(str(error)) from None
    _say_what_this_is(settings)
    await rounds.start(lambda outcome: metrics.jwks_fetches.labels(outcome).inc())
    parts.push_async_callback(rounds.close)
    await engine.start()
    parts.push_async_callback(_drain(door, engine, settings.drain_timeout_s))
    await door.start()
    return door


def _drain(door: HttpServer, engine: Engine, timeout_s: float) -> Callable[[], Awaitable[None]]:
    async def drain() -> None:
        door.refuse_new()
        await engine.drain(timeout_s)

    return drain


def _say_what_this_is(settings: Settings) -> None:
    if settings.embedded:
        meaning = "for laptops, tests and demos: one machine, one server"
        _log.warning("embedded started", meaning=meaning, folder=settings.state_folder)


def version() -> str:
    """Of the installed distribution."""
    try:
        return metadata.version("bascule")
    except metadata.PackageNotFoundError:
        return "unknown"


def _server_name(folder_name: str) -> str:
    """The same for every server of this folder, one after the other: what one leaves half done, the next one owns."""
    return f"{socket.gethostname()}-{folder_name}"


def _signals() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; the second one ends the process at once."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        if ended.is_set():
            os._exit(1)
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    return ended


async def build_runtime(settings: Settings, config: EngineConfig) -> Runtime:
    """The runtime that is set; raises `StartError` when this machine lacks what it needs."""
    folders = Folders(settings.state_folder / WORKERS)
    try:
        folders.prepare()
    except FolderError as error:
        raise StartError(str(error)) from None
    if settings.runtime == "docker":
        return await _build_docker(settings, config, folders)
    from orchestrator.runtimes.bubblewrap import BubblewrapRuntime
    from orchestrator.runtimes.bubblewrap_ground import UnusableError

    runtime = BubblewrapRuntime(folders, python=settings.bubblewrap.python)
    try:
        await runtime.check()
    except UnusableError as error:
        raise StartError(str(error)) from None
    _log.info("limits of embedded workers", **runtime.limits_in_force())
    return runtime


async def _build_docker(settings: Settings, config: EngineConfig, folders: Folders) -> Runtime:
    from orchestrator.runtimes import docker

    # Whoever has the keys is the same installation, and may adopt or end its workers.
    installation = hashlib.sha256(b"installation" + config.stamp_key).hexdigest()[:INSTALLATION_CHARS]
    runtime = docker.DockerRuntime(
        folders, installation=installation, host=settings.docker.host, engine_runtime=settings.docker.runtime
    )
    try:
        await runtime.check((config.sandbox.image, *config.images))
    except docker.UnusableError as error:
        await runtime.close()
        raise StartError(str(error)) from None
    return runtime
