"""Every error of the client library or the server ends as a `WireError`."""

import ssl

import pytest
from redis import exceptions
from redis._parsers.base import BaseParser

from orchestrator.stores.redis.errors import RETRY_AFTER_MS, translated, unavailable


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", "full"),
        ("READONLY You can't write against a read only replica.", "readonly"),
        ("LOADING Redis is loading the dataset in memory", "loading"),
        ("MISCONF Errors writing to the AOF file: No space left on device", "misconf"),
        ("NOREPLICAS Not enough good replicas to write.", "noreplicas"),
        ("MASTERDOWN Link with MASTER is down", "masterdown"),
        ("CLUSTERDOWN The cluster is down", "clusterdown"),
        ("MOVED 3999 127.0.0.1:6381", "moved"),
        ("ASK 3999 127.0.0.1:6381", "ask"),
        ("TRYAGAIN Multiple keys request during rehashing of slot", "tryagain"),
        ("BUSY Redis is busy running a script.", "busy"),
        ("NOAUTH Authentication required.", "refused"),
        ("WRONGPASS invalid username-password pair or user is disabled.", "refused"),
        ("NOPERM this user has no permissions to run the 'evalsha' command", "refused"),
        ("NOSCRIPT No matching script. Please use EVAL.", "noscript"),
        ("ERR max number of clients reached", "unreachable"),
    ],
)
def test_s20_what_a_server_says_becomes_a_cause(said, cause):
    """`store_unavailable`, with one word for the cause and a time to try again."""
    error = translated(BaseParser.parse_error(said))
    assert (error.code, error.details["cause"], error.retry_after_ms) == ("store_unavailable", cause, RETRY_AFTER_MS)


@pytest.mark.parametrize(
    ("raised", "cause"),
    [
        (TimeoutError(), "timeout"),
        (exceptions.TimeoutError("slow"), "timeout"),
        (ConnectionResetError(104, "reset"), "unreachable"),
        (exceptions.ConnectionError("closed"), "unreachable"),
        (ssl.SSLCertVerificationError("no"), "tls"),
        (OSError(24, "too many files"), "unreachable"),
    ],
)
def test_what_a_connection_does_becomes_a_cause(raised, cause):
    """Time-outs and broken connections alike."""
    assert translated(raised).details["cause"] == cause


def test_damage_is_no_absence():
    """A type that cannot be, or a table that contradicts another."""
    for said in ("WRONGTYPE Operation against a key", "DAMAGED the id table names an entry"):
        error = translated(BaseParser.parse_error(said))
        assert (error.code, error.details["cause"]) == ("internal", "damaged")


def test_what_is_ours_already_stays():
    """No error is wrapped twice."""
    error = unavailable("queue")
    assert translated(error) is error
