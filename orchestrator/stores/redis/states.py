"""States that are kept: reading them, and pins."""

from __future__ import annotations

from typing import Final

from orchestrator.core.session import Checkpoint, KeptStates, Pin
from orchestrator.stores.keys import CONTENT_ID_BYTES, session_keys
from orchestrator.stores.quotas import pins_used_up
from orchestrator.stores.redis.calls import Calls
from orchestrator.stores.redis.records import checkpoint_of, kept_of

_FULL: Final = b"FULL"


def place_of(at: int | str | None) -> tuple[str, int | str]:
    """How the scripts are told which state is meant."""
    if at is None:
        return "last", ""
    return ("pin", at) if isinstance(at, str) else ("seq", at)


async def checkpoint(calls: Calls, session: str, at: int | str | None) -> Checkpoint | None:
    """See `Store.checkpoint`."""
    keys = session_keys(session)
    reply = await calls.run("checkpoint", (keys.record, keys.states, keys.pins, keys.state), *place_of(at))
    return None if reply is None else checkpoint_of(session, reply)


async def kept(calls: Calls, session: str) -> KeptStates:
    """See `Store.kept_states`."""
    keys = session_keys(session)
    return kept_of(session, await calls.run("kept", (keys.states, keys.pins, keys.state)))


async def pin(calls: Calls, session: str, wanted: Pin, most: int) -> bool:
    """See `Store.pin`."""
    keys = session_keys(session)
    of_session = (keys.record, keys.states, keys.pins, keys.state)
    arguments = (wanted.name, wanted.seq, wanted.etag, most, CONTENT_ID_BYTES)
    reply = await calls.run("pin", (*of_session, keys.chunks, keys.counts, keys.garbage), *arguments)
    if reply == _FULL:
        raise pins_used_up(session, most)
    return bool(reply)


async def unpin(calls: Calls, session: str, name: str) -> bool:
    """See `Store.unpin`. An answer that was lost may be told as False: the name is gone either way."""
    keys = session_keys(session)
    of_lineage = (keys.chunks, keys.counts, keys.garbage)
    return bool(await calls.run("unpin", (keys.pins, *of_lineage), name, CONTENT_ID_BYTES))
