"""The worker's image as Compose builds and starts it (pytest-docker): what is in it, and that a worker comes up."""

import contextlib
import json
from collections.abc import Iterator

import docker
import pytest
from docker.models.containers import Container
from pytest_docker.plugin import Services

pytestmark = pytest.mark.docker

WORKER_START_TIMEOUT_S = 20.0


@pytest.fixture(scope="module")
def container(docker_services: Services, docker_compose_project_name: str) -> Iterator[Container]:
    """The container of Compose's service `worker`."""
    label = f"com.docker.compose.project={docker_compose_project_name}"
    with contextlib.closing(docker.from_env()) as client:
        (found,) = client.containers.list(all=True, filters={"label": label})
        assert found.status == "running", found.logs(tail=20).decode()
        yield found


def _python(container: Container, code: str) -> str:
    status, output = container.exec_run(["python3", "-I", "-c", code])
    assert isinstance(output, bytes)
    assert status == 0, output.decode()
    return output.decode().strip()


def test_the_image_imports_its_own_packages_without_a_network(container: Container) -> None:
    """With isolated Python and no network, wire, worker and cloudpickle are there, and the server is not."""
    code = (
        "import json, os, importlib.util as u, replwire, replworker, cloudpickle; "
        "print(json.dumps([replworker.__file__, os.path.exists(replworker.__cached__), "
        "u.find_spec('orchestrator') is None, os.listdir('/sys/class/net')]))"
    )
    file, has_bytecode, no_server, interfaces = json.loads(_python(container, code))
    assert file.startswith("/opt/bascule/replworker/")
    assert has_bytecode and no_server
    assert interfaces == ["lo"]


def test_nothing_in_the_image_raises_rights(container: Container) -> None:
    """No file is setuid or setgid, and the worker runs as an ordinary user."""
    image = container.attrs["Image"]
    # In a container of its own: root without capabilities cannot look into every folder.
    with contextlib.closing(docker.from_env()) as client:
        find = ["find", "/", "-xdev", "-type", "f", "-perm", "/6000"]
        assert client.containers.run(image, find, user="0", network_mode="none", remove=True) == b""
    assert _python(container, "import os; print(os.getuid(), os.getgid())") == "64000 64000"


def test_the_image_starts_a_worker_that_listens(container: Container, docker_services: Services) -> None:
    """With no command of the runtime's, the image's own one comes up and listens on its socket."""

    def listens() -> bool:
        status, _ = container.exec_run(
            ["python3", "-I", "-c", "import socket; socket.socket(socket.AF_UNIX).connect('/run/bascule/worker.sock')"]
        )
        return bool(status == 0)

    docker_services.wait_until_responsive(listens, timeout=WORKER_START_TIMEOUT_S, pause=0.2)
