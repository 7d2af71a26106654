"""Ports: taken, in use, not ours."""

import contextlib
import socket

import pytest

from orchestrator.core.hosts import is_loopback
from orchestrator.transports.listening import ListenError, listen


def test_a_free_port_is_found_and_listened_on() -> None:
    """Port 0 is any free one; `localhost` has it on each address."""
    sockets = listen("localhost", 0)
    with contextlib.ExitStack() as opened:
        for listener in sockets:
            opened.enter_context(listener)
        ports = {listener.getsockname()[1] for listener in sockets}
        assert len(ports) == 1
        with socket.create_connection(("127.0.0.1", ports.pop()), timeout=5):
            pass


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_in_use_is_said_in_words(host: str) -> None:
    """With the address, and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"127.0.0.1:{port} is in use .* --port"):
            listen(host, port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_an_address_that_is_not_ours_is_an_error(host: str) -> None:
    """A foreign address or no address at all."""
    with pytest.raises(ListenError):
        listen(host, 0)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.1", False), ("example.com", False), ("", False), ("localhost.example.com", False)],
)  # fmt: skip
def test_what_counts_as_loopback(host: str, loopback: bool) -> None:
    """Only addresses that no other machine can reach."""
    assert is_loopback(host) is loopback
