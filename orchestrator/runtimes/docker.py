"""Workers as Docker containers. The `docker` package blocks, so it has threads of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import docker
import requests.exceptions
import structlog
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from orchestrator.core.sandbox import SOCKET_FOLDER, SandboxSpec
from orchestrator.core.session import WorkerAddress
from orchestrator.ports import WorkerFate
from orchestrator.runtimes import docker_words as words
from orchestrator.runtimes.asking import has_swap
from orchestrator.runtimes.chasing import Chases
from orchestrator.runtimes.dialling import dial_unix
from orchestrator.runtimes.docker_render import INSTALLATION_LABEL, container
from orchestrator.runtimes.folders import FolderError, Folders, wait_for_socket
from orchestrator.runtimes.state_lock import is_served
from replwire.errors import WireError

THREADS: Final = 8
"""Calls to the engine at the same time, and connections to it."""

ENGINE_TIMEOUT_S: Final = 30.0
"""Of one call."""

START_TIMEOUT_S: Final = 20.0
"""From the container's start to its socket."""

FATE_TIMEOUT_S: Final = 5.0
"""After it a worker's fate is not known; the wait for one of our threads counts too."""

FATE_POLL_S: Final = 0.2
"""Between two looks at whether a container that was started still runs."""

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
        self._client_lock = threading.Lock()
        self._launches: set[asyncio.Future[Any]] = set()
        self._chases = Chases(self.stop)

    async def _call(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    # --- the engine ---------------------------------------------------------------------------------------------

    async def check(self, images: Sequence[str] = ()) -> None:
        """Raises `UnusableError` when the engine, its runtime or an image is missing, or can't hold a worker."""
        complaint = words.host_complaint(self._host or os.environ.get("DOCKER_HOST", ""))
        if complaint is not None:
            raise UnusableError(complaint)
        try:
            await self._call(lambda: self._check(images))
        except _FAULTS as error:
            raise UnusableError(words.no_engine(error)) from None

    def _check(self, images: Sequence[str]) -> None:
        complaint = words.api_complaint(self._api().api_version) or words.engine_complaint(
            self._api().info(), self._engine_runtime, has_swap=has_swap()
        )
        for image in images:
            try:
                complaint = complaint or words.image_complaint(image, self._api().inspect_image(image))
            except ImageNotFound:
                complaint = complaint or words.no_image(image)
        if complaint is not None:
            raise UnusableError(complaint)

    def _api(self) -> Any:
        """The client, made at the first call, because making it asks the engine for its version."""
        environment = {"DOCKER_HOST": self._host} if self._host else None
        settings: dict[str, Any] = {"timeout": ENGINE_TIMEOUT_S, "version": "auto", "max_pool_size": THREADS}
        with self._client_lock:
            if self._client is None:
                self._client = docker.DockerClient.from_env(environment=environment, **settings).api
            return self._client

    # --- the life of a worker -----------------------------------------------------------------------------------

    async def start(self, spec: SandboxSpec) -> WorkerAddress:
        """See `ports.Runtime`. Nothing is left behind by a start that fails."""
        launch = _kept(self._launches, self._launch(spec))
        try:
            return await asyncio.shield(launch)
        except asyncio.CancelledError:
            # A thread can't be called back: the start goes on to its end, and then the worker is ended.
            _kept(self._launches, self._end_unwanted(launch, spec.worker))
            raise

    async def _end_unwanted(self, launch: asyncio.Future[WorkerAddress], worker: str) -> None:
        await asyncio.wait((launch,))
        if launch.cancelled() or launch.exception() is None:
            await self.stop(worker)

    async def _launch(self, spec: SandboxSpec) -> WorkerAddress:
        try:
            folder, uid = await self._call(lambda: self._folders.make(spec.worker, any_user=True))
        except FolderError as error:
            raise words.no_start(str(error)) from None
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
            raise WireError("capacity", words.no_image(spec.image)) from None
        except APIError as error:
            raise words.no_start(words.said_by(error)) from None
        except _FAULTS as error:
            self._chases.begin(spec.worker)
            raise words.no_start(words.no_engine(error)) from None
        await self._wait_for_socket(spec)
        await self._call(lambda: self._folders.lock(spec.worker))

    async def _wait_for_socket(self, spec: SandboxSpec) -> None:
        end = asyncio.ensure_future(self._ended(spec.worker))
        path = self._folders.socket(spec.worker)
        try:
            if await wait_for_socket(path, within_s=START_TIMEOUT_S, is_alive=lambda: not end.done()):
                return
        finally:
            end.cancel()
        fate = await self._fate(spec.worker)
        how = f"it ended with status {fate.exit_code}" if fate.alive is False else "it made no socket in time"
        raise words.no_start(f"{how}; `docker run --rm {spec.image}` may show why")

    async def _ended(self, worker: str) -> None:
        while (await self._fate(worker)).alive is not False:
            await asyncio.sleep(FATE_POLL_S)

    def _create_and_start(self, worker: str, body: dict[str, Any]) -> None:
        made = self._api().create_container_from_config(body, worker)
        self._api().start(made["Id"])

    async def dial(self, address: WorkerAddress) -> socket.socket:
        """See `ports.Runtime`."""
        return dial_unix(Path(address.address), address.uid)

    async def stop(self, worker: str) -> None:
        """See `ports.Runtime`. The folder goes even if no engine answers; the container when one does.

        In the end, the next server finds it by its label.
        """
        try:
            await self._call(lambda: self._remove(worker))
        except _FAULTS as error:
            _log.error("worker not removed", worker=worker, cause=words.said_by(error))
            self._chases.begin(worker)
        await self._call(lambda: self._folders.remove(worker))

    def _remove(self, worker: str) -> None:
        try:
            self._api().remove_container(worker, force=True, v=True)
        except NotFound:
            pass
        except APIError as error:
            if error.status_code != _REMOVAL_UNDER_WAY:
                raise

    async def fate(self, worker: WorkerAddress) -> WorkerFate:
        """See `ports.Runtime`."""
        return await self._fate(worker.worker)

    async def _fate(self, worker: str) -> WorkerFate:
        try:
            async with asyncio.timeout(FATE_TIMEOUT_S):
                return words.fate_of(await self._call(lambda: self._api().inspect_container(worker)))
        except NotFound:
            return WorkerFate(alive=False)
        except _FAULTS:
            return WorkerFate(alive=None)

    async def list_workers(self) -> Sequence[str]:
        """See `ports.Runtime`: containers of this installation, ended ones too, and folders that have none.

        Those of a server that lives, with the same keys and a state folder of its own, are that server's to end.
        """
        wanted = {"label": f"{INSTALLATION_LABEL}={self._installation}"}
        try:
            found = await self._call(lambda: self._api().containers(all=True, filters=wanted))
        except _FAULTS as error:
            raise WireError("capacity", words.no_engine(error)) from None
        ours = await self._call(lambda: [entry for entry in found if not self._is_another_servers(entry)])
        names = {name.lstrip("/") for entry in ours for name in entry["Names"]}
        return sorted(names | set(self._folders.workers()))

    def _is_another_servers(self, container: dict[str, Any]) -> bool:
        sources = [mount["Source"] for mount in container["Mounts"] if mount["Destination"] == SOCKET_FOLDER]
        roots = {Path(source).parent for source in sources} - {self._folders.root}
        return any(is_served(root.parent) for root in roots)

    async def close(self) -> None:
        """Release threads and connections, when the starts under way are over; containers go on."""
        while self._launches:
            await asyncio.gather(*self._launches, return_exceptions=True)
        await self._chases.close()
        await asyncio.to_thread(self._threads.shutdown)
        if self._client is not None:
            with contextlib.suppress(*_FAULTS):
                self._client.close()


def _kept(tasks: set[asyncio.Future[Any]], work: Coroutine[Any, Any, _Result]) -> asyncio.Future[_Result]:
    """A task that is remembered until it is over."""
    task = asyncio.ensure_future(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task
