"""Every key in the store: its name, its type and what it holds. No other module spells one.

All keys of a lineage share one hash tag, so that one script may touch them (Redis Cluster specification, hash tags);
the index lies under hash tags of its own and follows what the records say.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256
from typing import Final, NamedTuple
from zlib import crc32

from orchestrator.core.ids import is_session_id, lineage_of

PREFIX: Final = "bascule"
INDEX_SHARDS: Final = 16
"""Parts of the index; fixed, because a session is looked for where it was put."""

CONTENT_ID_BYTES: Final = 32
"""Of a chunk's content id (SHA-256): lists of references are these in a row."""

PRINCIPAL_CHARS: Final = 32
"""Of the digest that stands for a principal."""

COMMIT_KEYS: Final = 11
"""Of the keys of a session, the first ones."""

_SHARED: Final = frozenset({"chunks", "counts", "uncounted", "garbage", "members"})
"""What is of the lineage."""

_NONCE: Final = re.compile(r"[0-9a-f]{16,64}")


class Key(NamedTuple):
    """One row: the name with its holes, the type in Redis, and what the fields and values are."""

    name: str
    type: str
    meaning: str


KEYS: Final = (
    Key(
        "bascule:{lineage}:<session>:record",
        "hash",
        "`status` open or closed, `policy` (JSON), `created_ms`, `seen_ms`, `linked_ms` (then it was seen as well), "
        "`generation`, `nonce`, `cause`, `seq`, `etag`, `oldest` (seq of the oldest kept state), `states` (how many "
        "are kept), `owner`, `deadline_ms`, `worker` (JSON or empty); `g:<generation>`: `<last seq> <last event>` "
        "committed in it; `buried`: there is no such session, and nobody may make it any more",
    ),
    Key("bascule:{lineage}:<session>:ids", "hash", "request id → `<seq> <Unix seconds> ` and the body's hash"),
    Key("bascule:{lineage}:<session>:order", "list", "request ids, oldest first: what `ids` is trimmed by"),
    Key("bascule:{lineage}:<session>:journal", "hash", "seq → sealed journal entry"),
    Key(
        "bascule:{lineage}:<session>:states",
        "hash",
        "of each kept state: seq → `<generation> <etag> ` and the manifest; `<seq>:references` → content ids in a row; "
        "`<seq>:next` → `<seq of the next one> ` and those ids that it does not have",
    ),
    Key(
        "bascule:{lineage}:<session>:state",
        "hash",
        "the last state as release 0.1 wrote it: seq, generation, manifest, references; gone with the next commit",
    ),
    Key(
        "bascule:{lineage}:<session>:pins",
        "hash",
        "name → `<seq> <bytes of references> `, the references, `<generation> <etag> ` and the manifest",
    ),
    Key(
        "bascule:{lineage}:<session>:intents",
        "hash",
        "request id → `<generation> <Unix seconds> <principal> ` and the body's hash, of what has no outcome",
    ),
    Key("bascule:{lineage}:members", "set", "the lineage's open sessions; with the last one its chunks go"),
    Key("bascule:{lineage}:chunks", "hash", "content id → sealed chunk, or a zero byte and its object's name"),
    Key(
        "bascule:{lineage}:counts",
        "hash",
        "content id → what refers to it, at least 1: pins, and runs of states one after the other",
    ),
    Key("bascule:{lineage}:uncounted", "sorted set", "content ids put that nothing refers to yet, by when (ms)"),
    Key("bascule:{lineage}:garbage", "set", "names of objects whose chunks are gone: to be deleted"),
    Key("bascule:{<principal>}:opened", "hash", "id of an `open` → `<ms> <session> ` and the body's hash"),
    Key("bascule:{<principal>}:opened-order", "sorted set", "these ids, by when they were used (ms)"),
    Key("bascule:spent:{<nonce>}", "string", "a nonce that was used up, by whom; gone when its ticket would be anyway"),
    Key("bascule:tenant:{<tenant>}", "sorted set", "the tenant's open sessions, by when they were made (ms)"),
    Key("bascule:index:{<shard>}", "sorted set", "open sessions, by when they were last seen (ms)"),
    Key("bascule:rewritten", "string", "run id of the server whose append-only file was written anew since its start"),
)


REWRITTEN_KEY: Final = f"{PREFIX}:rewritten".encode()
"""See `orchestrator.stores.redis.torn_end`."""


class SessionKeys(NamedTuple):
    """The keys of one session and of its lineage, ready to be sent, in the order in which `commit.lua` and `end.lua`
    take them."""

    record: bytes
    ids: bytes
    order: bytes
    journal: bytes
    states: bytes
    state: bytes
    intents: bytes
    chunks: bytes
    counts: bytes
    uncounted: bytes
    garbage: bytes
    pins: bytes
    members: bytes

    @property
    def of_commit(self) -> tuple[bytes, ...]:
        """Those that a commit may touch."""
        return self[:COMMIT_KEYS]


@lru_cache(maxsize=4096)
def session_keys(session: str) -> SessionKeys:
    """The keys of a session; what is not a session id is a `ValueError` and never becomes part of a key."""
    if not is_session_id(session):
        raise ValueError("not a session id")
    lineage = f"{PREFIX}:{{{lineage_of(session)}}}"
    names = (f"{lineage}:{part}" if part in _SHARED else f"{lineage}:{session}:{part}" for part in SessionKeys._fields)
    return SessionKeys(*(name.encode() for name in names))


def opened_keys(tenant: str, subject: str) -> tuple[bytes, bytes]:
    """The ids of `open` of one principal. Its names are digested: they are no part of a key."""
    principal = sha256(f"{tenant}\0{subject}".encode()).hexdigest()[:PRINCIPAL_CHARS]
    return f"{PREFIX}:{{{principal}}}:opened".encode(), f"{PREFIX}:{{{principal}}}:opened-order".encode()


def tenant_key(tenant: str) -> bytes:
    """The list of a tenant's sessions, whose name is digested likewise."""
    digest = sha256(tenant.encode()).hexdigest()[:PRINCIPAL_CHARS]
    return f"{PREFIX}:tenant:{{{digest}}}".encode()


def spent_key(nonce: str) -> bytes:
    """The key of a nonce; what is not 16 to 64 hex digits is a `ValueError`."""
    if not _NONCE.fullmatch(nonce):
        raise ValueError("not a nonce")
    return f"{PREFIX}:spent:{{{nonce}}}".encode()


def index_key(shard: int) -> bytes:
    """The index' part of that number."""
    return f"{PREFIX}:index:{{{shard}}}".encode()


def index_key_of(session: str) -> bytes:
    """The part of the index that a session belongs to."""
    return index_key(crc32(session.encode("ascii")) % INDEX_SHARDS)
