"""What becomes of the requests that were open when a connection was lost.

As long as the session's worker is the same one, it knows every id that it has got: each request is sent again under
its own id, and joins its run, gets its outcome, or runs for the first time. When the worker is another one, the old
one may have taken a run with it. Sending such an id again would run it again, so that is done only for those that
the journal has, or that the new worker has got; the others end with `RolledBackError`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from bascule.errors import BasculeError, ForbiddenError, NotFoundError, OutcomeUnknownError, SessionError
from bascule.inbox import Inbox
from bascule.kept import undone
from bascule.requests import Json, Pending, Requests

LOOKS: Final = (0.0, 0.1, 0.4)
"""Seconds before each look into the journal for a request that ended a moment ago: its commit may be on its way."""

RECALLED_MAX: Final = 16
"""Results without a commit that are asked for again, the newest first: so many requests may wait in a session."""

PAGES_MAX: Final = 100
"""Of the journal that are looked through."""

Call = Callable[[str, Json], Awaitable[Json]]
"""Type and payload of a request in, its answer out."""


Look = Callable[[str], Awaitable[Json | None]]
"""A session's id in, its record as the store has it now out; None when that is not to be had."""


async def check_history(reply: Json, inbox: Inbox, record: Look) -> None:
    """The store must have the commits that were confirmed to us. Raises `SessionError`, or why it cannot be looked at.

    `reply` is that to `attach`. A front door that says less than we know may have lost nothing: another one may have
    made the last commits, and this one not have heard of them. So a lower seq is only a reason to look into the store.
    Another etag at the same seq is proof: both were in the store, and one is there no more.
    """
    seq = int(reply.get("seq", 0))
    if seq < inbox.seq:
        stored = await record(reply["session"])
        if stored is None:
            return
        reply, seq = stored, int(stored.get("seq", 0))
    is_other = seq == inbox.seq and inbox.etag and reply.get("etag") and reply["etag"] != inbox.etag
    if seq < inbox.seq or is_other:
        words = f"commit {inbox.seq} was confirmed, and the session is at {seq} now"
        raise SessionError(f"{words}, with another history" if is_other else words, code="session_regressed")


class Resumption:
    """One return to a session. Decides for each request that was sent: again, or over."""

    def __init__(self, call: Call, requests: Requests, inbox: Inbox) -> None:
        self._call = call
        self._requests = requests
        self._inbox = inbox

    async def decide(self, generation: int) -> None:
        """`generation`: the session's now. Afterwards what is open and not `sent` is to be sent."""
        self._recall_kept()
        for pending in self._requests:
            if pending.sent:
                await self._decide(pending, generation)

    def _recall_kept(self) -> None:
        """Results that were not committed yet: asking by their ids tells."""
        waiting = list(self._inbox.kept)
        for kept in waiting[:-RECALLED_MAX]:
            self._inbox.kept.fail(kept.id, OutcomeUnknownError("the connection was lost before its commit was told"))
        for kept in waiting[-RECALLED_MAX:]:
            if self._requests.get(kept.id) is None:
                pending = self._requests.new("eval", kept.payload, id_=kept.id)
                pending.sent, pending.generation, pending.after_seq = True, kept.generation, kept.seq - 1

    async def _decide(self, pending: Pending, generation: int) -> None:
        if pending.is_numbered:
            again = pending.generation == generation or await self._is_known(pending)
        else:
            again = self._may_repeat(pending)
        if again:
            pending.sent, pending.repeated = False, True

    # --- requests without a number ------------------------------------------------------------------------------

    def _may_repeat(self, pending: Pending) -> bool:
        if pending.type == "interrupt" and not pending.payload.get("target"):
            # What runs now may not be what was meant.
            self._end(pending, OutcomeUnknownError("the connection was lost before the interrupt was answered"))
            return False
        if pending.type == "input" and self._has_gone_on(pending):
            self._requests.forget(pending)
            pending.succeed({"status": "delivered"})
            return False
        return True

    def _has_gone_on(self, pending: Pending) -> bool:
        """Whether the eval that asked for input said something since, or has ended."""
        asked = self._requests.get(pending.payload.get("target"))
        if asked is None:
            return True
        return asked.seen is not None and pending.asked_at is not None and asked.seen > pending.asked_at

    # --- numbered requests --------------------------------------------------------------------------------------

    async def _is_known(self, pending: Pending) -> bool:
        """Whether its id may be sent without running a second time; ends it when it is over."""
        try:
            if await self._is_in_journal(pending) or await self._is_waiting(pending):
                return True
            for wait_s in LOOKS:
                await asyncio.sleep(wait_s)
                if await self._is_in_journal(pending):
                    return True
        except ForbiddenError:
            words = (
                "the worker was lost, and this token may not read the journal, which knows whether the request ended"
            )
            self._end(pending, OutcomeUnknownError(words))
            return False
        self._end(pending, undone(self._inbox.undone_by))
        return False

    async def _is_waiting(self, pending: Pending) -> bool:
        """Whether the session has it and it is not over. One that waits leaves the queue, to be sent anew."""
        try:
            await self._call("cancel", {"target": pending.id})
        except NotFoundError:
            return False
        return True

    async def _is_in_journal(self, pending: Pending) -> bool:
        first = pending.after_seq + 1
        for _ in range(PAGES_MAX):
            page = await self._call("history", {"from": first})
            entries: list[dict[str, Any]] = page.get("entries", [])
            if any(entry.get("id") == pending.id for entry in entries):
                return True
            first += len(entries)
            if not entries or first > page.get("seq", 0):
                return False
        return False

    def _end(self, pending: Pending, error: BasculeError) -> None:
        self._requests.forget(pending)
        self._inbox.kept.fail(pending.id, error)
        pending.fail(error)
