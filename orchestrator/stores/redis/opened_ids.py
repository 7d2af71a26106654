"""The ids of `open`, by which a session is found again.

An id's row lies under the principal's own hash tag, and is written before the session's record: a crash in between
leaves an id without a session. When the same `open` comes again, a plain session is made under the id that the row has.
One that begins with a state cannot be: the state is sealed for a session of the caller's choice. So the row's session
is buried, which nobody can make from then on, and the row is given to the new one.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any, Final

from orchestrator.core.session import OpenId, Record
from orchestrator.stores.keys import opened_keys, session_keys
from orchestrator.stores.limits import StoreLimits
from orchestrator.stores.redis.calls import Calls
from orchestrator.stores.redis.errors import RETRY_AFTER_MS
from orchestrator.stores.redis.records import record_of
from orchestrator.stores.redis.wire import CALL_DEADLINE_S, Command, run
from replwire.errors import WireError

POLL_S: Final = 0.01
"""Between looks at a session that another caller is making."""

_NONCE_BYTES: Final = 16


def claiming(limits: StoreLimits, session: str, opened: OpenId, buried: str = "") -> Command:
    """The command that asks which session the id opens: this one, if the id is new."""
    kept_ms = int(limits.opened_kept_s * 1000)
    arguments = (opened.request_id, opened.body_hash, session, kept_ms, limits.opened_kept, buried)
    return run("open", opened_keys(opened.tenant, opened.subject), arguments)


def claimed(answer: Any) -> tuple[str, float]:
    """That session, and for how many seconds the id has been its; raises `conflict`."""
    if answer is None:
        raise WireError("conflict", "the id was used with another body")
    return bytes(answer[0]).decode("ascii"), int(answer[1]) / 1000


async def claim_alone(calls: Calls, limits: StoreLimits, session: str, opened: OpenId) -> Record | None:
    """None when the id opens this session, which the caller makes now; else the record of the one that it opened.

    Raises `conflict`, and `busy` when another caller takes too long to make it.
    """
    loop = asyncio.get_running_loop()
    patience, buried = loop.time() + CALL_DEADLINE_S, ""
    while loop.time() < patience:
        named, age_s = claimed((await calls.ask_all([claiming(limits, session, opened, buried)], "open"))[0])
        if named == session:
            return None
        key = session_keys(named).record
        if age_s >= limits.opening_s:
            found = await calls.run("bury", (key,), secrets.token_hex(_NONCE_BYTES), int(limits.opened_kept_s * 1000))
            buried = named
        else:
            found = await _read(calls, key)
            await asyncio.sleep(0 if found else POLL_S)
        if found:
            return record_of(named, found)
    raise WireError("busy", "the same request is opening its session", retry_after_ms=RETRY_AFTER_MS)


async def let_go(calls: Calls, session: str, opened: OpenId) -> None:
    """The session was not made: the id is as if it had never been used."""
    await calls.run("unopen", opened_keys(opened.tenant, opened.subject), opened.request_id, session)


async def _read(calls: Calls, key: bytes) -> Any:
    """The fields of a session's record; nothing of one that was buried."""
    found = await calls.ask(b"HGETALL", key)
    return None if b"buried" in found[::2] else found
