"""What the server is and what it does with a write: asked, never assumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

from orchestrator.ports import StoreFacts
from orchestrator.stores.redis.errors import unavailable
from orchestrator.stores.redis.wire import Command

ASK: Final[tuple[Command, ...]] = (
    (b"INFO", b"server"),
    (b"INFO", b"persistence"),
    (b"CONFIG", b"GET", b"appendfsync"),
    (b"CONFIG", b"GET", b"maxmemory-policy"),
)
"""What is asked; the replies go to `read`."""

VERSION_MIN: Final = (7, 0)
"""Of the server: before it, a script could be refused half-way."""

_WAITAOF_SINCE: Final = (7, 2)


class Syncing(Enum):
    """How a write comes to the disk."""

    ALWAYS = "always"
    """Before its reply (`appendfsync always`)."""
    ASKED = "asked"
    """Later; WAITAOF says when."""
    NEVER_KNOWN = "never known"
    """There is no append-only file, or no way to know."""


class Facts(NamedTuple):
    """The port's facts, and how commits have to be sent."""

    port: StoreFacts
    syncing: Syncing


def read(replies: Sequence[Any]) -> Facts:
    """Facts from the replies to `ASK`; CONFIG may have been refused. Raises `WireError` if the server is too old."""
    server, persistence = _lines(replies[0]), _lines(replies[1])
    settings = _pairs(replies[2]) | _pairs(replies[3])
    version = _version(server)
    if version < VERSION_MIN:
        raise unavailable(f"{_name(server)} is too old, 7.0 is the least")
    syncing = _syncing(version, persistence.get("aof_enabled") == "1", settings.get("appendfsync"))
    durable = "memory" if syncing is Syncing.NEVER_KNOWN else "fsync"
    found = "fsync" if syncing is Syncing.ALWAYS else "memory"
    warnings = tuple(_warnings(syncing, persistence, settings))
    return Facts(StoreFacts(_name(server), durable, warnings, found), syncing)


def _syncing(version: tuple[int, ...], append_only: bool, appendfsync: str | None) -> Syncing:
    if not append_only:
        return Syncing.NEVER_KNOWN
    if appendfsync == "always":
        return Syncing.ALWAYS
    return Syncing.ASKED if version >= _WAITAOF_SINCE else Syncing.NEVER_KNOWN


def _warnings(syncing: Syncing, persistence: Mapping[str, str], settings: Mapping[str, str]) -> list[str]:
    found = []
    if persistence.get("aof_enabled") != "1":
        found.append("appendonly is off: commits are told as `memory`")
    elif syncing is Syncing.NEVER_KNOWN:
        found.append("appendfsync is not `always` and the server has no WAITAOF: commits are told as `memory`")
    elif syncing is Syncing.ASKED:
        found.append("appendfsync is not `always`: each commit waits for the next sync, up to a second")
    policy = settings.get("maxmemory-policy")
    if policy is None:
        found.append("CONFIG GET is refused: whether keys may be evicted is not known")
    elif policy != "noeviction":
        found.append(f"maxmemory-policy is `{policy}`: the server may throw sessions away; set `noeviction`")
    if persistence.get("aof_last_write_status", "ok") != "ok":
        found.append("the last write to the append-only file failed")
    return found


def _name(server: Mapping[str, str]) -> str:
    if "valkey_version" in server:
        return f"Valkey {server['valkey_version']}"
    return f"Redis {server.get('redis_version', '?')}"


def _version(server: Mapping[str, str]) -> tuple[int, ...]:
    parts = server.get("redis_version", "0").split(".")[:2]
    return tuple(int(part) if part.isdigit() else 0 for part in parts)


def _lines(reply: Any) -> dict[str, str]:
    """`name:value` lines of INFO; a refused INFO is raised."""
    if isinstance(reply, Exception):
        raise reply
    rows = (line.partition(":") for line in bytes(reply).decode("utf-8", "replace").splitlines())
    return {name: value for name, colon, value in rows if colon}


def _pairs(reply: Any) -> dict[str, str]:
    if isinstance(reply, Exception):
        return {}
    words = [bytes(word).decode("utf-8", "replace") for word in reply]
    return dict(zip(words[::2], words[1::2], strict=True))
