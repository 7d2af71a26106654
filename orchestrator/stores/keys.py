"""Every key in the store: its name, its type and what it holds. No other module spells one.

All keys of a lineage share one hash tag, so that one script may touch them (Redis Cluster specification, hash tags);
the index lies under hash tags of its own and follows what the records say.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final, NamedTuple
from zlib import crc32

from orchestrator.core.ids import is_session_id, lineage_of

PREFIX: Final = "bascule"
INDEX_SHARDS: Final = 16
"""Parts of the index; fixed, because a session is looked for where it was put."""

CONTENT_ID_BYTES: Final = 32
"""Of a chunk's content id (SHA-256): lists of references are these in a row."""


class Key(NamedTuple):
    """One row: the name with its holes, the type in Redis, and what the fields and values are."""

    name: str
    type: str
    meaning: str


KEYS: Final = (
    Key(
        "bascule:{lineage}:<session>:record",
        "hash",
        "`status` open or closed, `policy` (JSON), `created_ms`, `seen_ms`, `generation`, `nonce`, `seq`, `etag`, "
        "`owner`, `deadline_ms`, `worker` (JSON or empty); `g:<generation>`: `<last seq> <last event>` committed in it",
    ),
    Key("bascule:{lineage}:<session>:ids", "hash", "request id → `<seq> <Unix seconds> ` and the body's hash"),
    Key("bascule:{lineage}:<session>:order", "list", "request ids, oldest first: what `ids` is trimmed by"),
    Key("bascule:{lineage}:<session>:journal", "hash", "seq → sealed journal entry"),
    Key("bascule:{lineage}:<session>:state", "hash", "the last checkpoint: seq, generation, manifest, references"),
    Key("bascule:{lineage}:members", "set", "the lineage's open sessions; with the last one its chunks go"),
    Key("bascule:{lineage}:chunks", "hash", "content id → sealed chunk"),
    Key("bascule:{lineage}:counts", "hash", "content id → number of states that refer to it, at least 1"),
    Key("bascule:{lineage}:uncounted", "sorted set", "content ids put that no state refers to yet, by when (ms)"),
    Key(
        "bascule:tenant:{<hash of the tenant>}", "sorted set", "the tenant's open sessions, by when they were made (ms)"
    ),
    Key("bascule:opened:{<hash of principal and id>}", "string", "what an `open` made: session, space, body's hash"),
    Key("bascule:index:{<shard>}", "sorted set", "open sessions, by when they were last seen (ms)"),
)


class SessionKeys(NamedTuple):
    """The keys of one session and of its lineage, ready to be sent, in the order in which `commit.lua` takes them."""

    record: bytes
    ids: bytes
    order: bytes
    journal: bytes
    state: bytes
    chunks: bytes
    counts: bytes
    uncounted: bytes
    members: bytes


@lru_cache(maxsize=4096)
def session_keys(session: str) -> SessionKeys:
    """The keys of a session; what is not a session id is a `ValueError` and never becomes part of a key."""
    if not is_session_id(session):
        raise ValueError("not a session id")
    lineage = f"{PREFIX}:{{{lineage_of(session)}}}"
    own = (f"{lineage}:{session}:{part}".encode() for part in ("record", "ids", "order", "journal", "state"))
    shared = (f"{lineage}:{part}".encode() for part in ("chunks", "counts", "uncounted", "members"))
    return SessionKeys(*own, *shared)


def index_key(shard: int) -> bytes:
    """The index' part of that number."""
    return f"{PREFIX}:index:{{{shard}}}".encode()


def index_key_of(session: str) -> bytes:
    """The part of the index that a session belongs to."""
    return index_key(crc32(session.encode("ascii")) % INDEX_SHARDS)


def tenant_key(tenant: str) -> bytes:
    """The list of a tenant's sessions."""
    return f"{PREFIX}:tenant:{{{_hashed(tenant)}}}".encode()


def opened_key(principal: str, request_id: str) -> bytes:
    """What the id of a principal's `open` stands for."""
    return f"{PREFIX}:opened:{{{_hashed(principal, request_id)}}}".encode()


def _hashed(*names: str) -> str:
    """Names that strangers choose never become part of a key."""
    return hashlib.sha256("\0".join(names).encode("utf-8")).hexdigest()[:32]
