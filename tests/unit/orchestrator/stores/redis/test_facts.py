"""What is concluded from what a server says of itself."""

import pytest
from redis.exceptions import NoPermissionError, ResponseError

from orchestrator.stores.redis.facts import ASK, WATCH, Syncing, read, still_syncs
from replwire.errors import WireError


def told(version="7.0.15", aof="1", fsync: bytes | None = b"always", policy="noeviction", limit="0", more=""):
    """The replies to `ASK`."""
    refused = NoPermissionError("this user has no permissions to run the 'config|get' command")
    return [
        f"# Server\r\nredis_version:{version}\r\n{more}".encode(),
        f"# Persistence\r\naof_enabled:{aof}\r\n".encode(),
        f"# Memory\r\nmaxmemory:{limit}\r\nmaxmemory_policy:{policy}\r\n".encode(),
        refused if fsync is None else [b"appendfsync", fsync],
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
        (told(policy="allkeys-lru", limit="1000"), Syncing.ALWAYS, "memory"),
        (told(policy="allkeys-lru"), Syncing.ALWAYS, "fsync"),
        (told(policy="volatile-lru", limit="1000"), Syncing.ALWAYS, "fsync"),
        (told(version="7.2.0", fsync=b"everysec", policy="allkeys-random", limit="1"), Syncing.ASKED, "memory"),
    ],
)
def test_nothing_is_called_fsync_that_is_not_known_to_be(replies, syncing, durable):
    """`always`, or WAITAOF where the server has it; all else is memory."""
    assert len(replies) == len(ASK)
    found = read(replies)
    assert (found.syncing, found.port.durable) == (syncing, durable)
    # WAITAOF covers the writes of its own connection: of a commit that is only found nothing is known.
    assert found.port.found_durable == (durable if syncing is Syncing.ALWAYS else "memory")
    assert found.evicts == (durable == "memory" and syncing is not Syncing.NEVER_KNOWN)


def test_a_quiet_server_has_no_warnings():
    """Nothing to say of one that is set up as it should be."""
    assert read(told()).port.warnings == ()


@pytest.mark.parametrize(
    ("replies", "word"),
    [
        (told(policy="allkeys-lru"), "noeviction"),
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


def watched(**changed: str):
    """The reply to `WATCH`."""
    settings = {"appendfsync": "always", "appendonly": "yes", "maxmemory": "0", "maxmemory-policy": "noeviction"}
    assert sorted(name.decode() for name in WATCH[2:]) == sorted(settings)
    return [word.encode() for pair in (settings | changed).items() for word in pair]


@pytest.mark.parametrize(
    ("reply", "syncs"),
    [
        (watched(), True),
        (watched(maxmemory="9", **{"maxmemory-policy": "volatile-ttl"}), True),
        (watched(appendfsync="everysec"), False),
        (watched(appendonly="no"), False),
        (watched(maxmemory="9", **{"maxmemory-policy": "allkeys-lru"}), False),
        ([], False),
        (NoPermissionError("config|get"), False),
    ],
)
def test_a_batch_is_on_disk_if_the_server_still_says_so_after_it(reply, syncs):
    """A setting that was changed under us, or may not be read any more, ends the promise with that batch."""
    assert still_syncs(reply) is syncs
