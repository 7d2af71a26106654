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
    (b"INFO", b"memory"),
    (b"CONFIG", b"GET", b"appendfsync"),
)
"""What is asked; the replies go to `read`."""

WATCH: Final[Command] = (b"CONFIG", b"GET", b"appendfsync", b"appendonly", b"maxmemory", b"maxmemory-policy")
"""What is asked behind each batch of commits of a server that syncs always; the reply goes to `still_syncs`."""

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
    evicts: bool
    """Whether it may throw a session away that it has on disk."""
    run_id: str
    """Of the server's process."""
    appends: bool
    """Whether there is an append-only file."""
    is_rewriting: bool
    """Whether that is being written anew, or is going to be."""
    rewrite_succeeded: bool
    """The last time; true before the first one."""


def read(replies: Sequence[Any]) -> Facts:
    """Facts from the replies to `ASK`; CONFIG may have been refused. Raises `WireError` if the server is too old."""
    server, persistence, memory = (_lines(reply) for reply in replies[:3])
    settings = _pairs(replies[3])
    version = _version(server)
    if version < VERSION_MIN:
        raise unavailable(f"{_name(server)} is too old, 7.0 is the least")
    syncing = _syncing(version, persistence.get("aof_enabled") == "1", settings.get("appendfsync"))
    evicts = _evicts(memory.get("maxmemory"), memory.get("maxmemory_policy"))
    durable = "memory" if syncing is Syncing.NEVER_KNOWN or evicts else "fsync"
    found = "fsync" if syncing is Syncing.ALWAYS and not evicts else "memory"
    warnings = tuple(_warnings(syncing, persistence, memory, has_config="appendfsync" in settings))
    return Facts(
        StoreFacts(_name(server), durable, warnings, found), syncing, evicts, server.get("run_id", ""),
        persistence.get("aof_enabled") == "1",
        "1" in (persistence.get("aof_rewrite_in_progress"), persistence.get("aof_rewrite_scheduled")),
        persistence.get("aof_last_bgrewrite_status", "ok") == "ok",
    )  # fmt: skip


def still_syncs(reply: Any) -> bool:
    """Whether the server says, after a batch, that what it wrote is on the disk before any reply, and stays."""
    settings = _pairs(reply)
    syncs = settings.get("appendfsync") == "always" and settings.get("appendonly") == "yes"
    return syncs and not _evicts(settings.get("maxmemory"), settings.get("maxmemory-policy"))


def _evicts(limit: str | None, policy: str | None) -> bool:
    """`volatile-…` takes keys that end some time anyway; nothing is taken without a limit. Unknown is feared."""
    return limit is None or policy is None or (limit != "0" and policy.startswith("allkeys"))


def _syncing(version: tuple[int, ...], append_only: bool, appendfsync: str | None) -> Syncing:
    if not append_only:
        return Syncing.NEVER_KNOWN
    if appendfsync == "always":
        return Syncing.ALWAYS
    return Syncing.ASKED if version >= _WAITAOF_SINCE else Syncing.NEVER_KNOWN


def _warnings(
    syncing: Syncing, persistence: Mapping[str, str], memory: Mapping[str, str], *, has_config: bool
) -> list[str]:
    found = []
    if persistence.get("aof_enabled") != "1":
        found.append("appendonly is off: commits are told as `memory`")
    elif not has_config:
        found.append("CONFIG GET is refused: whether appendfsync is `always` is not known")
    elif syncing is Syncing.NEVER_KNOWN:
        found.append("appendfsync is not `always` and the server has no WAITAOF: commits are told as `memory`")
    elif syncing is Syncing.ASKED:
        found.append("appendfsync is not `always`: each commit waits for the next sync, up to a second")
    policy = memory.get("maxmemory_policy")
    if policy != "noeviction":
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
