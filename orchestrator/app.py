"""Builds a server from its settings, runs it until it is told to end, and ends it in order.

The only file that knows every part. Adapters are imported when they are chosen, so that what is not used need not be
installed.
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
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Final

import structlog

from orchestrator.auth.api_keys import ApiKeys
from orchestrator.auth.chain import Chain
from orchestrator.auth.dev_token import DevToken
from orchestrator.auth.jwks_url import KeyRounds
from orchestrator.auth.jwt_tokens import JwtIssuer
from orchestrator.auth.rereading import AuthFileError
from orchestrator.auth.revocations import Revocations
from orchestrator.auth.tickets import Tickets
from orchestrator.core.principal import Principal
from orchestrator.engine.configuration import EngineConfig
from orchestrator.engine.engine import Engine
from orchestrator.ports import Authenticator, Runtime, Store
from orchestrator.runtimes.folders import FolderError, Folders
from orchestrator.runtimes.state_lock import StateError, only_server
from orchestrator.settings import Settings, SettingsError, check_for_serving
from orchestrator.stores.blobs_folder import FolderBlobs
from orchestrator.stores.embedded import EmbeddedError, EmbeddedRedis, start_embedded
from orchestrator.stores.limits import StoreLimits
from orchestrator.telemetry.metrics import Metrics
from orchestrator.transports.http_server import HttpServer
from orchestrator.transports.listening import ListenError
from replwire.errors import WireError

WORKERS: Final = "workers"
INSTALLATION_CHARS: Final = 16
REFUSED: Final = "refused"
"""How a store that does not take our password says so in the `cause` of its error."""

_log = structlog.get_logger("bascule.app")


class StartError(Exception):
    """The server can't start; the message says why and what helps."""


class SystemClock:
    """The clock of this machine."""

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    def now(self) -> float:
        """Unix seconds."""
        return time.time()


@dataclass(frozen=True, slots=True)
class _StoreParts:
    store: Store
    private: EmbeddedRedis | None
    """The Redis that is ours to end."""
    blobs: FolderBlobs | None


def run(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; `announce` hears when clients can connect. `StartError`, `SettingsError`."""
    check_for_serving(settings)
    _raise_open_files()
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
    found = await _build_store(settings, metrics)
    if found.private is not None:
        parts.push_async_callback(found.private.stop_even_if_found)
    if found.blobs is not None:
        parts.push_async_callback(found.blobs.close)
    await _look_at_store(found.store)
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


def build_authenticator(settings: Settings) -> tuple[Authenticator, KeyRounds]:
    """All ways to prove who one is that are set up, and who fetches keys for them; raises `SettingsError`."""
    try:
        ways = ways_to_prove(settings)
        return Chain([authenticator for _, authenticator in ways], revocations(settings)), key_rounds(ways)
    except (AuthFileError, ValueError) as error:
        raise SettingsError(f"auth: {error}") from None


def ways_to_prove(settings: Settings) -> list[tuple[str, Authenticator]]:
    """Each by its setting and what that says; raises `AuthFileError` or `ValueError`."""
    auth, found = settings.auth, list[tuple[str, Authenticator]]()
    if auth.dev_token is not None:
        found.append(("auth.dev_token", DevToken(auth.dev_token.get_secret_value())))
    if auth.keys_file is not None:
        found.append((f"auth.keys_file {auth.keys_file}", ApiKeys(auth.keys_file)))
    found.extend((f"auth.jwt {config.issuer}", JwtIssuer(config)) for config in auth.jwt)
    return found


def key_rounds(ways: Sequence[tuple[str, Authenticator]]) -> KeyRounds:
    """Of the issuers among them whose keys are at an address."""
    issuers = [way for _, way in ways if isinstance(way, JwtIssuer)]
    return KeyRounds([issuer.fetched for issuer in issuers if issuer.fetched is not None])


def revocations(settings: Settings) -> Callable[[Principal], bool]:
    """Who is refused all the same; raises `AuthFileError`."""
    file = settings.auth.revocations_file
    return Revocations(file) if file is not None else lambda _: False


async def _build_store(settings: Settings, metrics: Metrics) -> _StoreParts:
    blobs = _blobs_of(settings)
    private, url = None, settings.redis.url
    if url is not None:
        address = url.get_secret_value()
    else:
        try:
            private = await start_embedded(settings.state_folder / "redis")
        except EmbeddedError as error:
            raise StartError(str(error)) from None
        address = private.url
    return _StoreParts(_store_at(address, settings, metrics, blobs), private, blobs)


def _blobs_of(settings: Settings) -> FolderBlobs | None:
    if settings.blobs.folder is None:
        return None
    blobs = FolderBlobs(settings.blobs.folder)
    try:
        blobs.prepare()
    except OSError as error:
        raise StartError(f"blobs.folder: {error.filename}: {error.strerror}: choose another folder") from None
    return blobs


async def _look_at_store(store: Store) -> None:
    """One that is away may come; one that refuses us is a mistake of ours."""
    try:
        await store.facts()
    except WireError as error:
        if error.details.get("cause") != REFUSED:
            return
        await store.close()
        raise StartError(
            "the Redis refuses us: look at the user and password in --redis-url, BASCULE_REDIS__PASSWORD "
            "or BASCULE_REDIS__PASSWORD_FILE"
        ) from None


def _store_at(address: str, settings: Settings, metrics: Metrics, blobs: FolderBlobs | None) -> Store:
    from orchestrator.stores.redis import RedisStore

    redis = settings.redis
    limits = StoreLimits(
        ids_kept=settings.all_limits()["ids_kept_max"],
        states_kept=redis.states_kept,
        pins_max=redis.pins_max,
        lineage_max=redis.lineage_max,
    )
    try:
        return RedisStore(
            address,
            password=redis.password.get_secret_value() if redis.password else None,
            limits=limits,
            on_batch=metrics.commit_batch.observe,
            blobs=blobs,
            object_bytes_min=settings.blobs.min_bytes,
        )
    except ValueError as error:
        raise SettingsError(f"redis.url: {error}") from None


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
