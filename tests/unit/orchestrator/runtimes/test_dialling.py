"""Dialling a worker's socket: only that of the expected owner, and never by way of a link."""

import os
import socket
from pathlib import Path

import pytest

from orchestrator.core.session import WorkerAddress
from orchestrator.runtimes.dialling import dial_unix


@pytest.fixture
def listening(tmp_path: Path):
    """The path of a socket that somebody of our own uid listens on."""
    path = tmp_path / "worker.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield path


def test_the_owners_socket_is_dialled(listening):
    """It is connected and does not block."""
    with dial_unix(listening, os.geteuid()) as sock:
        assert sock.getpeername() == str(listening) and not sock.getblocking()


@pytest.mark.parametrize("uid", [-1, 4_000_000])
def test_a_socket_of_another_owner_is_refused(listening, uid):
    """No uid means \"any\"."""
    with pytest.raises(PermissionError):
        dial_unix(listening, uid)


def test_a_link_to_the_socket_is_refused(listening, tmp_path):
    """Whatever a tenant planted is not followed."""
    (tmp_path / "link").symlink_to(listening)
    with pytest.raises(PermissionError):
        dial_unix(tmp_path / "link", os.geteuid())


def test_an_address_names_its_owner():
    """There is no default that would skip the check."""
    with pytest.raises(TypeError):
        WorkerAddress("docker", "wrk_a", "/run/a.sock")  # type: ignore[call-arg]
