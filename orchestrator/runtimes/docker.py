"""Workers as Docker containers. The `docker` package blocks, so it has threads of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import docker
import requests.exceptions
import structlog
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from orchestrator.core.sandbox import SandboxSpec
from orchestrator.core.session import WorkerAddress
from orchestrator.ports import WorkerFate
from orchestrator.runtimes.dialling import dial_unix
from orchestrator.runtimes.docker_render import INSTALLATION_LABEL, container
from orchestrator.runtimes.folders import FolderError, Folders, wait_for_socket
from replwire.errors import WireError

THREADS: Final = 8
"""Calls to the engine at the same time, and connections to it."""

ENGINE_TIMEOUT_S: Final = 30.0
"""Of one call."""

START_TIMEOUT_S: Final = 20.0
"""From the container's start to its socket."""

RETRY_AFTER_MS: Final = 2000

_FAULTS: Final = (DockerException, requests.exceptions.RequestException, OSError)
_REMOVAL_UNDER_WAY: Final = 409

_Result = TypeVar("_Result")
_log = structlog.get_logger("bascule.runtimes.docker")


class UnusableError(Exception):
    """This engine can't run workers; the message says why and what helps."""


class DockerRuntime:
    """One container a worker, named by the worker's id. Containers outlive the server and are found by their label."""

    name = "docker"
    survives_server = True

    def __init__(
        self, folders: Folders, *, installation: str, host: str | None = None, engine_runtime: str | None = None
    ) -> None:
        self._folders = folders
        self._installation = installation
        self._engine_runtime = engine_runtime
        self._host = host
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="docker")
        self._client: Any = None

    async def _call(self, work: Callable[[], _Result]) -> _Result:
        """In a thread. Cancelled, it waits for the thread all the same: what that makes must be known to be removed."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait((future,))
            raise

    # --- the engine ---------------------------------------------------------------------------------------------

    async def check(self, images: Sequence[str]) -> None:
        """Raises `UnusableError` when the engine, its runtime or one of the images is not there."""
        try:
            await self._call(lambda: self._check(images))
        except _FAULTS as error:
            raise UnusableError(f"no Docker engine answers: {_words(error)}; `bascule doctor` says more") from None

    def _check(self, images: Sequence[str]) -> None:
        info = self._api().info()
        known = sorted(info.get("Runtimes") or {})
        if self._engine_runtime and self._engine_runtime not in known:
            raise UnusableError(f"the Docker engine has no runtime {self._engine_runtime}; it has {', '.join(known)}")
        for image in images:
            try:
                self._api().inspect_image(image)
            except ImageNotFound:
                raise UnusableError(_no_image(image)) from None

    def _api(self) -> Any:
        """The client, made at the first call, because making it asks the engine for its version."""
        if self._client is None:
            settings: dict[str, Any] = {"timeout": int(ENGINE_TIMEOUT_S), "version": "auto", "max_pool_size": THREADS}
            if self._host:
                self._client = docker.APIClient(base_url=self._host, **settings)
            else:
                self._client = docker.DockerClient.from_env(**settings).api
        return self._client

    # --- the life of a worker -----------------------------------------------------------------------------------

    async def start(self, spec: SandboxSpec) -> WorkerAddress:
        """See `ports.Runtime`. Nothing is left behind by a start that fails."""
        try:
            folder, uid = await self._call(lambda: self._folders.make(spec.worker))
        except FolderError as error:
            raise WireError("capacity", str(error)) from None
        try:
            await self._run(spec, folder, uid)
        except BaseException:
            await asyncio.shield(self.stop(spec.worker))
            raise
        return WorkerAddress(self.name, spec.worker, str(self._folders.socket(spec.worker)), uid)

    async def _run(self, spec: SandboxSpec, folder: Path, uid: int) -> None:
        body = container(
            spec, folder=folder, uid=uid, installation=self._installation, engine_runtime=self._engine_runtime
        )
        try:
            await self._call(lambda: self._create_and_start(spec.worker, body))
        except ImageNotFound:
            raise WireError("capacity", _no_image(spec.image)) from None
        except _FAULTS as error:
            raise _no_start(_words(error)) from None
        lives = _Lives(self, spec.worker)
        if not await wait_for_socket(self._folders.socket(spec.worker), within_s=START_TIMEOUT_S, is_alive=lives):
            raise _no_start(f"the worker made no socket ({await self.fate(spec.worker)})")
        await self._call(lambda: self._folders.lock(spec.worker))

    def _create_and_start(self, worker: str, body: dict[str, Any]) -> None:
        made = self._api().create_container_from_config(body, worker)
        self._api().start(made["Id"])

    async def dial(self, address: WorkerAddress) -> socket.socket:
        """See `ports.Runtime`."""
        return dial_unix(Path(address.address), address.uid)

    async def stop(self, worker: str) -> None:
        """See `ports.Runtime`. An engine that does not answer is logged: the next server's reaping gets it."""
        try:
            await self._call(lambda: self._remove(worker))
        except _FAULTS as error:
            _log.error("worker not removed", worker=worker, cause=_words(error))
            return
        await self._call(lambda: self._folders.remove(worker))

    def _remove(self, worker: str) -> None:
        try:
            self._api().remove_container(worker, force=True, v=True)
        except NotFound:
            pass
        except APIError as error:
            if error.status_code != _REMOVAL_UNDER_WAY:
                raise

    async def fate(self, worker: str) -> WorkerFate:
        """See `ports.Runtime`. Memory: the kernel may have killed the interpreter alone, and the agent then exits."""
        try:
            state = (await self._call(lambda: self._api().inspect_container(worker)))["State"]
        except NotFound:
            return WorkerFate(alive=False)
        except _FAULTS:
            return WorkerFate(alive=None)
        if state["Running"]:
            return WorkerFate(alive=True)
        return WorkerFate(alive=False, exit_code=state["ExitCode"], memory_killed=bool(state["OOMKilled"]))

    async def list_workers(self) -> Sequence[str]:
        """See `ports.Runtime`: containers of this installation, ended ones too, and folders that have none."""
        wanted = {"label": f"{INSTALLATION_LABEL}={self._installation}"}
        try:
            found = await self._call(lambda: self._api().containers(all=True, filters=wanted))
        except _FAULTS as error:
            raise WireError("capacity", f"the Docker engine does not answer: {_words(error)}") from None
        names = {name.lstrip("/") for entry in found for name in entry["Names"]}
        return sorted(names | set(self._folders.workers()))

    async def close(self) -> None:
        """Release threads and connections; containers go on."""
        await asyncio.to_thread(self._threads.shutdown)
        if self._client is not None:
            with contextlib.suppress(*_FAULTS):
                self._client.close()


class _Lives:
    """Whether a container that was started still runs, asked once in a while and not with every look at its socket."""

    ASK_EVERY: Final = 100

    def __init__(self, runtime: DockerRuntime, worker: str) -> None:
        self._runtime = runtime
        self._worker = worker
        self._looks = 0
        self._asking: asyncio.Task[WorkerFate] | None = None

    def __call__(self) -> bool:
        self._looks += 1
        if self._asking is not None and self._asking.done():
            if self._asking.result().alive is False:
                return False
            self._asking = None
        if self._asking is None and self._looks % self.ASK_EVERY == 0:
            self._asking = asyncio.ensure_future(self._runtime.fate(self._worker))
        return True


def _no_image(image: str) -> str:
    return f"the Docker engine has no image {image}: docker build -t {image} worker-image"


def _no_start(reason: str) -> WireError:
    return WireError("capacity", f"a worker could not be started: {reason}", retry_after_ms=RETRY_AFTER_MS)


def _words(error: BaseException) -> str:
    """The engine's own words, without the client library's wrapping."""
    return str(getattr(error, "explanation", None) or error)[:300]
