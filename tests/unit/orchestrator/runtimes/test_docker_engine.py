"""The Docker runtime before engines that lack something, refuse, hang or are away; they listen on a Unix socket."""

import asyncio
import json
import socketserver
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from orchestrator.core.sandbox import SandboxSpec
from orchestrator.core.session import WorkerAddress
from orchestrator.ports import WorkerFate
from orchestrator.runtimes import chasing
from orchestrator.runtimes import docker as docker_module
from orchestrator.runtimes.docker import DockerRuntime, UnusableError
from orchestrator.runtimes.folders import Folders
from replwire.errors import WireError

SPEC = SandboxSpec(worker="wrk_a", image="some:image")
INFO = {"Runtimes": {"runc": {}, "runsc": {}}, "SecurityOptions": ["name=seccomp,profile=default"], "PidsLimit": True}
HANGS_S = 0.4
"""How long a call takes that should be over in `ENGINE_TIMEOUT_S`."""

WRK_A = WorkerAddress("docker", "wrk_a", "/nowhere/worker.sock", 0)


class Engine:
    """Containers by name; what it says of itself, and what it does before a call."""

    def __init__(self) -> None:
        self.api = "1.41"
        self.info: dict[str, Any] = dict(INFO)
        self.images: dict[str, dict[str, Any]] = {"some:image": {"Config": {}}}
        self.containers: dict[str, dict[str, Any]] = {}
        self.before: Callable[[str, str], None] = lambda method, path: None
        self.calls: list[str] = []

    def answer(self, method: str, address: str, body: bytes) -> tuple[int, Any]:
        """Status and JSON."""
        url = urlsplit(address)
        path = url.path.partition(f"/v{self.api}")[2] or url.path
        self.calls.append(f"{method} {path}")
        self.before(method, path)
        if path in ("/version", "/info"):
            return 200, {"ApiVersion": self.api} if path == "/version" else self.info
        if path.startswith("/images/"):
            return self._one(self.images, path.split("/")[2].replace("%3A", ":"), "image")
        if path == "/containers/create":
            return self._create(parse_qs(url.query)["name"][0], json.loads(body))
        if path == "/containers/json":
            return 200, [{"Names": [f"/{name}"], "Mounts": []} for name in self.containers]
        name = path.split("/")[2]
        if method == "DELETE" and name in self.containers:
            del self.containers[name]
            return 204, None
        if path.endswith("/start") and name in self.containers:
            return 204, None
        return self._one(self.containers, name, "container")

    def _create(self, name: str, body: dict[str, Any]) -> tuple[int, Any]:
        if body["Image"] not in self.images:
            return 404, {"message": f"No such image: {body['Image']}"}
        self.containers[name] = {"State": {"Running": True, "Status": "running", "ExitCode": 0, "OOMKilled": False}}
        return 201, {"Id": name}

    @staticmethod
    def _one(known: dict[str, dict[str, Any]], name: str, kind: str) -> tuple[int, Any]:
        return (200, known[name]) if name in known else (404, {"message": f"No such {kind}: {name}"})


class _Handler(BaseHTTPRequestHandler):
    engine: Engine
    protocol_version = "HTTP/1.1"

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, said = self.engine.answer(self.command, self.path, body)
        data = json.dumps(said).encode() if said is not None else b""
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except BrokenPipeError:
            self.close_connection = True

    do_GET = do_POST = do_DELETE = _do

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""

    def address_string(self) -> str:
        """A Unix socket's client has none."""
        return ""


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64
    block_on_close = False


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine that listens on `tmp_path/docker.sock`."""
    made = _Handler.engine = Engine()
    with _Server(str(tmp_path / "docker.sock"), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        server.shutdown()
        thread.join()


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """Of the runtime's workers."""
    made = Folders(tmp_path / "workers")
    made.prepare()
    return made


@pytest.fixture
async def runtime(tmp_path: Path, folders: Folders) -> AsyncIterator[DockerRuntime]:
    """With the engine at `tmp_path/docker.sock`."""
    made = DockerRuntime(folders, installation="inst", host=f"unix://{tmp_path}/docker.sock", engine_runtime="runsc")
    yield made
    await made.close()


async def no_start(runtime: DockerRuntime) -> str:
    """The words of a start that is refused."""
    with pytest.raises(WireError) as caught:
        await runtime.start(SPEC)
    assert caught.value.code == "capacity"
    return caught.value.message


async def unusable(runtime: DockerRuntime, *images: str) -> str:
    """The words of a check that fails."""
    with pytest.raises(UnusableError) as caught:
        await runtime.check(images)
    return str(caught.value)


# --- check --------------------------------------------------------------------------------------------------------


async def test_an_engine_with_all_that_is_needed_is_fine(engine: Engine, runtime: DockerRuntime) -> None:
    """And without images, the engine alone is looked at."""
    await runtime.check(["some:image"])
    await runtime.check()


async def test_an_engine_that_is_away_is_told(runtime: DockerRuntime) -> None:
    """With the program that finds out why."""
    said = await unusable(runtime)
    assert "no Docker engine answers" in said
    assert "bascule doctor" in said


async def test_a_missing_image_is_told_with_how_to_build_it(engine: Engine, runtime: DockerRuntime) -> None:
    """By its name."""
    assert "docker build -t other:image worker-image" in await unusable(runtime, "some:image", "other:image")


@pytest.mark.parametrize(("api", "fine"), [("1.40", False), ("1.41", True), ("1.52", True)])
async def test_an_engine_that_is_too_old_is_told(engine: Engine, runtime: DockerRuntime, api: str, fine: bool) -> None:
    """It would leave out what it does not know, and start workers all the same."""
    engine.api = api
    if fine:
        await runtime.check()
    else:
        assert "API 1.40: 1.41 is the least" in await unusable(runtime)


async def test_a_missing_runtime_of_the_engine_is_told(engine: Engine, runtime: DockerRuntime) -> None:
    """With those that there are."""
    engine.info["Runtimes"] = {"runc": {}}
    assert "no runtime runsc; it has runc" in await unusable(runtime)


@pytest.mark.parametrize("option", ["name=rootless", "name=userns"])
async def test_an_engine_that_maps_users_is_told(engine: Engine, runtime: DockerRuntime, option: str) -> None:
    """A worker's uid would be another one on the host."""
    engine.info["SecurityOptions"].append(option)
    assert "maps users" in await unusable(runtime)
    engine.info["SecurityOptions"].remove(option)


@pytest.mark.parametrize("limit", ["MemoryLimit", "PidsLimit", "CpuCfsQuota"])
async def test_an_engine_that_would_leave_a_limit_out_is_told(
    engine: Engine, runtime: DockerRuntime, limit: str
) -> None:
    """It would start workers all the same, with a warning that nobody reads."""
    engine.info[limit] = False
    assert "can't limit" in await unusable(runtime)


@pytest.mark.parametrize("has_swap", [False, True])
async def test_swap_that_no_limit_covers_is_told(
    engine: Engine, runtime: DockerRuntime, monkeypatch: pytest.MonkeyPatch, has_swap: bool
) -> None:
    """Where there is none, the limit is not missed."""
    monkeypatch.setattr(docker_module, "has_swap", lambda: has_swap)
    engine.info["SwapLimit"] = False
    if has_swap:
        assert "can't limit swap" in await unusable(runtime)
    else:
        await runtime.check()


async def test_an_image_with_volumes_is_told(engine: Engine, runtime: DockerRuntime) -> None:
    """Each would be a folder on the host's disk."""
    engine.images["some:image"]["Config"]["Volumes"] = {"/data": {}}
    assert "/data" in await unusable(runtime, "some:image")


async def test_an_engine_on_another_machine_is_told(folders: Folders) -> None:
    """Workers are dialled by Unix socket."""
    runtime = DockerRuntime(folders, installation="inst", host="tcp://10.0.0.1:2375", engine_runtime=None)
    assert "tcp://10.0.0.1:2375" in await unusable(runtime)
    await runtime.close()


# --- starts that fail ---------------------------------------------------------------------------------------------


async def test_a_start_without_the_image_says_how_to_build_it(
    engine: Engine, runtime: DockerRuntime, folders: Folders
) -> None:
    """The image may have been deleted since the check."""
    del engine.images["some:image"]
    assert "docker build -t some:image worker-image" in await no_start(runtime)
    assert folders.workers() == []


async def test_a_start_without_an_engine_says_so(runtime: DockerRuntime, folders: Folders) -> None:
    """And leaves no folder."""
    assert "no Docker engine answers" in await no_start(runtime)
    assert folders.workers() == []


async def test_a_worker_that_ends_at_once_is_removed(engine: Engine, runtime: DockerRuntime) -> None:
    """With its status and the way to see why."""

    def end(method: str, path: str) -> None:
        if path.endswith("/start"):
            engine.containers["wrk_a"]["State"].update(Running=False, Status="exited", ExitCode=3)

    engine.before = end
    said = await no_start(runtime)
    assert "ended with status 3" in said
    assert "docker run --rm some:image" in said
    assert engine.containers == {}


@pytest.mark.parametrize("call", ["/containers/create", "/start"])
async def test_an_engine_that_answers_too_late_leaves_no_ghost(
    engine: Engine, runtime: DockerRuntime, folders: Folders, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """What it makes after we gave up, and after the first try to remove it, is removed by its name."""
    monkeypatch.setattr(chasing, "AFTER_S", (HANGS_S * 2, 0.1))
    monkeypatch.setattr(docker_module, "ENGINE_TIMEOUT_S", HANGS_S / 2)
    engine.before = lambda method, path: time.sleep(HANGS_S) if path.endswith(call) else None
    assert "no Docker engine answers" in await no_start(runtime)
    await asyncio.sleep(HANGS_S)
    assert list(engine.containers) == (["wrk_a"] if call == "/containers/create" else [])
    async with asyncio.timeout(5):
        while engine.containers or folders.workers():
            await asyncio.sleep(0.02)


async def test_close_waits_for_a_start_that_was_cancelled(
    engine: Engine, runtime: DockerRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that creates a container can't be called back."""
    monkeypatch.setattr(docker_module, "START_TIMEOUT_S", 0.1)
    engine.before = lambda method, path: time.sleep(HANGS_S) if path.endswith("/create") else None
    starting = asyncio.create_task(runtime.start(SPEC))
    while "POST /containers/create" not in engine.calls:
        await asyncio.sleep(0.005)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await runtime.close()
    assert "POST /containers/wrk_a/start" in engine.calls
    assert engine.containers == {}


# --- fate, stop and list ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "fate"),
    [
        ({"Running": True, "Status": "running", "ExitCode": 0, "OOMKilled": True}, WorkerFate(alive=True)),
        ({"Running": False, "Status": "created", "ExitCode": 0, "OOMKilled": False}, WorkerFate(alive=False)),
        ({"Running": False, "Status": "exited", "ExitCode": 0, "OOMKilled": False}, WorkerFate(False, 0)),
        ({"Running": False, "Status": "exited", "ExitCode": 137, "OOMKilled": False}, WorkerFate(False, 137)),
        ({"Running": False, "Status": "exited", "ExitCode": 137, "OOMKilled": True}, WorkerFate(False, 137, True)),
        ({"Running": False, "Status": "exited", "ExitCode": 1, "OOMKilled": True}, WorkerFate(False, 1, True)),
    ],
)
async def test_the_fate_is_what_the_engine_says(
    engine: Engine, runtime: DockerRuntime, state: dict[str, Any], fate: WorkerFate
) -> None:
    """A kill for memory shows in its flag alone: the status may be the init's or the agent's."""
    engine.containers["wrk_a"] = {"State": state}
    assert await runtime.fate(WRK_A) == fate


async def test_without_an_engine_the_fate_is_unknown(runtime: DockerRuntime) -> None:
    """Not dead: the session must not be replaced because the engine is being upgraded."""
    assert await runtime.fate(WRK_A) == WorkerFate(alive=None)


async def test_when_the_engine_hangs_the_fate_is_unknown_soon(
    engine: Engine, runtime: DockerRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks has a client that waits."""
    monkeypatch.setattr(docker_module, "FATE_TIMEOUT_S", 0.05)
    await runtime.check()
    engine.before = lambda method, path: time.sleep(HANGS_S)
    began = time.monotonic()
    assert await runtime.fate(WRK_A) == WorkerFate(alive=None)
    assert time.monotonic() - began < HANGS_S


async def test_stop_without_an_engine_is_no_error(runtime: DockerRuntime, folders: Folders) -> None:
    """The folder goes, so that nobody dials; the container is found by its label later."""
    folders.make("wrk_a")
    await runtime.stop("wrk_a")
    assert folders.workers() == []


async def test_a_worker_that_could_not_be_removed_is_removed_later(
    engine: Engine, runtime: DockerRuntime, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else would, until the next server starts."""
    monkeypatch.setattr(chasing, "AFTER_S", (0.02, 0.02, 0.02))
    engine.containers["wrk_a"] = {}
    answer, refusals = engine.answer, iter(range(2))

    def refuse_twice(method: str, address: str, body: bytes) -> tuple[int, Any]:
        if method == "DELETE" and next(refusals, None) is not None:
            return 500, {"message": "device or resource busy"}
        return answer(method, address, body)

    monkeypatch.setattr(engine, "answer", refuse_twice)
    await runtime.stop("wrk_a")
    assert "wrk_a" in engine.containers
    async with asyncio.timeout(5):
        while engine.containers:
            await asyncio.sleep(0.01)


async def test_a_removal_that_is_under_way_is_success(engine: Engine, runtime: DockerRuntime) -> None:
    """409 is what the engine says then."""
    engine.containers["wrk_a"] = {}
    answer = engine.answer
    engine.answer = lambda method, address, body: (  # type: ignore[method-assign]
        (409, {"message": "removal of container wrk_a is already in progress"})
        if method == "DELETE"
        else answer(method, address, body)
    )
    await runtime.stop("wrk_a")


async def test_containers_and_folders_are_listed_together(
    engine: Engine, runtime: DockerRuntime, folders: Folders
) -> None:
    """Both are left by servers that were killed."""
    engine.containers["wrk_b"] = {}
    folders.make("wrk_a")
    assert await runtime.list_workers() == ["wrk_a", "wrk_b"]


async def test_without_an_engine_there_is_no_list(runtime: DockerRuntime) -> None:
    """An empty one would be a lie."""
    with pytest.raises(WireError):
        await runtime.list_workers()


async def test_many_calls_at_once_share_one_client(engine: Engine, runtime: DockerRuntime) -> None:
    """It is made once, and its connections are as many as its threads."""
    engine.containers = {f"wrk_{n}": {"State": {"Running": True, "Status": "running"}} for n in range(50)}
    fates = await asyncio.gather(*(runtime.fate(replace(WRK_A, worker=name)) for name in engine.containers))
    assert fates == [WorkerFate(alive=True)] * 50
    assert engine.calls.count("GET /version") == 1
