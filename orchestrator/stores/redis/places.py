"""A tenant's places: as many sessions as it may have open.

An entry in the tenant's list is a session's place. It is taken before index and record are made, under the tenant's own
hash tag, and given back when no session came of it. A crash in between leaves a place that nobody has: such places are
looked for before anybody is refused.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, Final

import structlog

from orchestrator.core.session import Status
from orchestrator.stores.keys import session_keys, spent_key, tenant_key
from orchestrator.stores.limits import StoreLimits
from orchestrator.stores.quotas import sessions_used_up
from orchestrator.stores.redis.calls import Calls
from orchestrator.stores.redis.index import entries
from orchestrator.stores.redis.wire import Command, run

_FULL: Final = -1
_OPEN: Final = Status.OPEN.value.encode("ascii")
_NONCE_BYTES: Final = 16
_log = structlog.get_logger("bascule.store")


class Places:
    """Those of a tenant, for a caller who is compared with `most`; None: with nothing."""

    def __init__(self, calls: Calls, limits: StoreLimits, tenant: str, most: int | None) -> None:
        self._calls = calls
        self._limits = limits
        self._tenant = tenant
        self._key = tenant_key(tenant)
        self._most = most

    def taking(self, session: str) -> Command:
        """The command that takes one; its answer is for `taken`."""
        return run("list", (self._key,), (session, "" if self._most is None else self._most))

    def keeping(self, session: str) -> Command:
        """The command that puts it back, should it have been dropped since it was taken; never refused."""
        return run("list", (self._key,), (session, ""))

    def giving_back(self, session: str) -> Command:
        """The command that frees it."""
        return (b"ZREM", self._key, session)

    async def take(self, session: str) -> None:
        """A place for a session that is going to be made; raises `quota_exceeded`."""
        await self.taken(session, await self._ask(session))

    async def taken(self, session: str, answer: Any) -> None:
        """The same, for an answer that is there; raises `quota_exceeded`."""
        if answer[0] == _FULL and await self._drop_unused():
            answer = await self._ask(session)
        if answer[0] == _FULL:
            raise sessions_used_up(self._most or 0, int(answer[1]))

    async def _ask(self, session: str) -> Any:
        return (await self._calls.ask_all([self.taking(session)], "list"))[0]

    async def give_back(self, session: str) -> None:
        """No session came of it."""
        await self._calls.ask(*self.giving_back(session))

    async def _drop_unused(self) -> int:
        """How many places were nobody's. Looking takes a full list's length, so it is done at times only."""
        if not await self._is_time():
            return 0
        seconds, micros = await self._calls.ask(b"TIME")
        now_ms, dropped = int(seconds) * 1000 + int(micros) // 1000, 0
        stale_ms = now_ms - self._limits.place_grace_s * 1000
        async for part in entries(self._calls, self._key):
            names = list(part)
            found = await self._calls.ask_all([(b"HGET", session_keys(name).record, b"status") for name in names])
            gone = [
                name
                for name, status in zip(names, found, strict=True)
                if status != _OPEN and (status is not None or part[name] < stale_ms)
            ]
            if gone:
                dropped += await self._calls.ask(b"ZREM", self._key, *gone)
        if dropped:
            _log.warning("places reclaimed", tenant=self._tenant, count=dropped)
        return dropped

    async def _is_time(self) -> bool:
        """Once in `place_grace_s` for a tenant, whichever front door asks."""
        key = spent_key(hashlib.sha256(f"places\0{self._tenant}".encode()).hexdigest())
        period_ms = max(1, int(self._limits.place_grace_s * 1000))
        mine = secrets.token_hex(_NONCE_BYTES)
        return await self._calls.ask(b"SET", key, mine, b"NX", b"PX", period_ms) is not None
