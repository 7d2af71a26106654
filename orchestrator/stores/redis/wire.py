"""How commands go to the server: packing, scripts by their hash, one exchange on one connection."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib import resources
from typing import Any, Final, NamedTuple, cast
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, ResponseError

from orchestrator.stores.redis.sentinels import PrimaryPool, is_sentinel, place_of

Argument = bytes | str | int
Command = tuple[Argument, ...]

PROTOCOL: Final = 2
"""Of RESP: nothing of version 3 is used, and there are proxies that refuse its greeting."""

CALL_DEADLINE_S: Final = 2.0
"""For one exchange with the server, connecting included."""

CONNECTIONS_MAX: Final = 8
"""For all calls but commits, which have one of their own."""


_WITH_DATABASE: Final = ("redis", "rediss")
"""Where the path is the number of the database; with `unix` it is the socket's."""


_INCLUDE: Final = re.compile(rb"^ *-- @include (\w+)\n", re.MULTILINE)
"""A line of a script that stands for the functions of `lib_<name>.lua`: scripts can't call each other. Where few
calls come by, they are made there: making a function takes a script longer than many a command."""


class Script(NamedTuple):
    """A `.lua` file beside this module, with what it includes."""

    source: bytes
    sha: bytes


def _source(name: str) -> bytes:
    return resources.files(__package__).joinpath(f"{name}.lua").read_bytes()


@cache
def script(name: str) -> Script:
    """The script of that name."""
    source = _INCLUDE.sub(lambda found: _source(f"lib_{found[1].decode()}"), _source(name))
    # The server names scripts by SHA-1; it is no protection.
    return Script(source, hashlib.sha1(source, usedforsecurity=False).hexdigest().encode("ascii"))


def run(name: str, keys: Sequence[bytes], arguments: Iterable[Argument] = ()) -> Command:
    """The command that runs a script."""
    return (b"EVALSHA", script(name).sha, len(keys), *keys, *arguments)


def loads(*names: str) -> list[Command]:
    """The commands that make scripts known to the server."""
    return [(b"SCRIPT", b"LOAD", script(name).source) for name in names]


def _pack_plain(command: Command) -> bytes:
    parts = [b"*%d\r\n" % len(command)]
    for argument in command:
        data = argument if isinstance(argument, bytes) else str(argument).encode("utf-8")
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def _packer() -> Callable[[Command], bytes]:
    try:
        from hiredis import pack_command
    except ImportError:
        return _pack_plain
    return cast("Callable[[Command], bytes]", pack_command)


pack: Final = _packer()
"""A command as the bytes that go to the server."""


def _check_database(url: str) -> None:
    """The library takes a path that is no number for database 0, which may be somebody else's."""
    parts = urlsplit(url)
    database = parts.path.strip("/")
    if parts.scheme in _WITH_DATABASE and database and not (database.isascii() and database.isdigit()):
        raise ValueError(f"the database is a number, as in redis://HOST:6379/0, and not {database[:64]!r}")


def connections(url: str, password: str | None = None) -> BlockingConnectionPool:
    """Connections to `redis://`, `rediss://`, `unix://` or `redis+sentinel://`, without any retry of the library's own.

    The library never times a single read out: each exchange has one deadline, set by who makes it. Raises `ValueError`
    for an address that can't be meant.
    """
    settings: dict[str, Any] = {
        "max_connections": CONNECTIONS_MAX, "timeout": CALL_DEADLINE_S, "protocol": PROTOCOL, "socket_timeout": None,
        "socket_connect_timeout": CALL_DEADLINE_S, "retry": Retry(NoBackoff(), 0), "retry_on_timeout": False,
        "health_check_interval": 0, "driver_info": None, **({} if password is None else {"password": password}),
    }  # fmt: skip
    if is_sentinel(url):
        place = place_of(url)
        return PrimaryPool(place._replace(settings={**place.settings, **settings}))
    _check_database(url)
    return BlockingConnectionPool.from_url(url, **settings)


async def exchange(connection: AbstractConnection, packed: Sequence[bytes], replies: int) -> list[Any]:
    """Send commands and read so many replies. An error that the server answers stands in the list as an exception."""
    await connection.send_packed_command(packed, check_health=False)
    read = connection.read_response
    found: list[Any] = []
    for _ in range(replies):
        try:
            found.append(await read(disable_decoding=True, timeout=math.inf))
        except ResponseError as error:
            found.append(error)
    return found


def lacks_script(replies: Iterable[Any]) -> bool:
    """Whether the server said that it does not know a script."""
    return any(isinstance(reply, NoScriptError) for reply in replies)
