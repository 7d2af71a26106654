"""What is concluded from what a server says of itself."""

import pytest
from redis.exceptions import NoPermissionError, ResponseError

from orchestrator.stores.redis.facts import ASK, Syncing, read
from replwire.errors import WireError


def told(version="7.0.15", aof="1", fsync: bytes | None = b"always", policy=b"noeviction", more=""):
    """The replies to `ASK`."""
    refused = NoPermissionError("this user has no permissions to run the 'config|get' command")
    return [
        f"# Server\r\nredis_version:{version}\r\n{more}".encode(),
        f"# Persistence\r\naof_enabled:{aof}\r\n".encode(),
        refused if fsync is None else [b"appendfsync", fsync],
        refused if fsync is None else [b"maxmemory-policy", policy],
    ]


@pytest.mark.parametrize(
    ("replies", "syncing", "durable"),
    [
        (told(), Syncing.ALWAYS, "fsync"),
        (told(version="8.2.3"), Syncing.ALWAYS, "fsync"),
        (told(fsync=b"everysec"), Syncing.NEVER_KNOWN, "memory"),
        (told(version="7.2.0", fsync=b"everysec"), Syncing.ASKED, "fsync"),
        (told(version="7.2.0", fsync=None), Syncing.ASKED, "fsync"),
        (told(fsync=None), Syncing.NEVER_KNOWN, "memory"),
        (told(aof="0"), Syncing.NEVER_KNOWN, "memory"),
        (told(version="8.2.3", aof="0", fsync=b"everysec"), Syncing.NEVER_KNOWN, "memory"),
    ],
)
def test_nothing_is_called_fsync_that_is_not_known_to_be(replies, syncing, durable):
    """`always`, or WAITAOF where the server has it; all else is memory."""
    assert len(replies) == len(ASK)
    found = read(replies)
    assert (found.syncing, found.port.durable) == (syncing, durable)
    # WAITAOF covers the writes of its own connection: of a commit that is only found nothing is known.
    assert found.port.found_durable == ("fsync" if syncing is Syncing.ALWAYS else "memory")


def test_a_quiet_server_has_no_warnings():
    """Nothing to say of one that is set up as it should be."""
    assert read(told()).port.warnings == ()


@pytest.mark.parametrize(
    ("replies", "word"),
    [
        (told(policy=b"allkeys-lru"), "noeviction"),
        (told(aof="0"), "appendonly is off"),
        (told(fsync=b"everysec"), "no WAITAOF"),
        (told(version="7.4", fsync=b"everysec"), "waits"),
        (told(fsync=None), "CONFIG GET is refused"),
    ],
)
def test_what_an_operator_should_change_is_a_warning(replies, word):
    """One line each."""
    assert any(word in warning for warning in read(replies).port.warnings)


def test_names():
    """Valkey says its own version beside that of the Redis it comes from."""
    assert read(told()).port.software == "Redis 7.0.15"
    assert read(told(version="7.2.4", more="valkey_version:9.1.2\r\n")).port.software == "Valkey 9.1.2"


def test_a_server_that_is_too_old_is_not_used():
    """Said as `store_unavailable`, with the version that is needed."""
    with pytest.raises(WireError, match=r"Redis 6\.2\.14 is too old, 7\.0"):
        read(told(version="6.2.14"))


def test_without_info_nothing_is_guessed():
    """A refused INFO is an error."""
    with pytest.raises(ResponseError):
        read([ResponseError("no"), *told()[1:]])
