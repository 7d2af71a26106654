"""A warm worker becomes a session's worker: claimed, with the last committed state in it, and made known."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from orchestrator import faults
from orchestrator.core.encoding import to_text
from orchestrator.core.outcomes import bounded_unsaved
from orchestrator.core.session import Checkpoint, KnownId, Record, WorkerAddress
from orchestrator.engine.link import Link, open_link
from orchestrator.engine.services import Services
from orchestrator.engine.stored_state import CHUNKS_AT_ONCE, StoredState, SupersededError
from orchestrator.ports import Raised
from replwire.errors import WireError
from replwire.frames import Kind

if TYPE_CHECKING:
    from orchestrator.engine.session import LiveSession

RESTORE_TIMEOUT_S: Final = 60.0
"""For opening a checkpoint in a fresh worker, imports included."""

TRIES_MAX: Final = 2
"""Workers that may be spent on a restore that fails (a checkpoint may be a poison pill); those that died while they
waited in the pool don't count."""

IDS_AT_ONCE: Final = 4096
"""Rows of the id table in one frame."""


@dataclass(frozen=True, slots=True)
class Restored:
    """A claimed worker and what it holds."""

    record: Record
    worker: WorkerAddress
    link: Link
    references: tuple[bytes, ...]
    lost: Mapping[str, str]
    """Names that the checkpoint holds and that could not be brought back, with reasons."""


class _Kept(NamedTuple):
    """What the store has of a session, beside its record and the chunks."""

    checkpoint: Checkpoint | None
    ids: Sequence[KnownId]


class Restorer:
    """Claims workers from the pools."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def provide(self, session: LiveSession, record: Record, raised: Raised) -> Restored | None:
        """None when another front door has raised again. Raises `restore_failed` after `TRIES_MAX` workers, `capacity`
        when there is no worker."""
        tries, dead_max = 0, TRIES_MAX + self._services.config.pool_size
        while True:
            worker = await session.take_worker()
            try:
                claimed = await self._claim(session, record, raised, worker)
            except BaseException as error:
                # Also when the session ended meanwhile: a worker that nobody has would run for ever.
                session.connector.end_worker(worker)
                if isinstance(error, SupersededError):
                    return None
                if not isinstance(error, OSError | WireError):
                    raise
                is_dead = isinstance(error, OSError)
                tries, dead_max = tries + (not is_dead), dead_max - is_dead
                if tries == TRIES_MAX or not dead_max or _is_final(error):
                    raise _as_failure(error, has_state=record.seq > 0) from None
            else:
                session.worker_in_use()
                return claimed

    async def _claim(self, session: LiveSession, record: Record, raised: Raised, worker: WorkerAddress) -> Restored:
        kept = await self._kept(session, record)
        checkpoint = kept.checkpoint
        link = await open_link_to(self._services, session, worker)
        try:
            told = await self._claim_and_publish(session, record, raised, kept, link, worker)
        except BaseException:
            link.close()
            raise
        now = replace(record, generation=raised.generation, nonce=raised.nonce, worker=worker)
        return Restored(now, worker, link, checkpoint.references if checkpoint else (), _lost(told))

    async def _kept(self, session: LiveSession, record: Record) -> _Kept:
        store = self._services.store
        if not record.seq:
            return _Kept(None, ())
        return _Kept(*await asyncio.gather(store.checkpoint(session.id), store.known_ids(session.id)))

    async def _claim_and_publish(
        self, session: LiveSession, record: Record, raised: Raised, kept: _Kept, link: Link, worker: WorkerAddress
    ) -> dict[str, Any]:  # fmt: skip
        """Both at once: the agent lets those wait who read its address and dial before it is claimed. Where the claim
        takes long, because the state is large, the address is made known when it is done."""
        claim = asyncio.create_task(self._hand_over(session, record, raised, kept, link))
        try:
            if kept.checkpoint and len(kept.checkpoint.references) > CHUNKS_AT_ONCE:
                await claim
            faults.mark("before-publish")
            is_current = await self._services.store.publish(session.id, raised, worker)
            faults.mark("after-publish")
            told = await claim
        finally:
            claim.cancel()
            await asyncio.gather(claim, return_exceptions=True)
        if not is_current:
            raise SupersededError
        return told

    async def _hand_over(
        self, session: LiveSession, record: Record, raised: Raised, kept: _Kept, link: Link
    ) -> dict[str, Any]:
        checkpoint = kept.checkpoint
        state = checkpoint and StoredState(
            self._services, session.policy.tenant, session.id, raised.generation, checkpoint
        )
        claim = {
            "session": session.id,
            "generation": raised.generation,
            "link_key": session.link_key(raised.generation),
            "seq": record.seq,
            "durability": session.policy.durability,
            "limits": {**session.policy.limits, "handover_ms": self._services.config.handover_ms},
            "ids": [],
            "chunks": state.count if state else 0,
            "reseed": _is_copy(record, checkpoint),
            # What acts outside may have acted before it died: only a new generation tells that.
            "takeover": not session.policy.acts_outside,
        }
        if state:
            session.tell("status", {"status": "restoring"})
        _send_ids(link, kept.ids)
        parts = (to_text(claim).encode("utf-8"), state.manifest if state else b"")
        return await link.call(Kind.CLAIM, parts, chunks=state.chunks() if state else None, timeout_s=RESTORE_TIMEOUT_S)


async def open_link_to(services: Services, session: LiveSession, worker: WorkerAddress) -> Link:
    """A link of this session to a worker, by its runtime; raises `OSError`."""
    sock = await services.runtime.dial(worker)
    return await open_link(sock, session, session.policy.limits)


def _send_ids(link: Link, ids: Sequence[KnownId]) -> None:
    """The id table goes ahead of the claim: after a busy day it is larger than a frame may be."""
    for start in range(0, len(ids), IDS_AT_ONCE):
        rows = [[known.request_id, known.body_hash.hex(), known.seq] for known in ids[start : start + IDS_AT_ONCE]]
        link.send(Kind.IDS, (to_text(rows).encode("utf-8"),))


def _is_copy(record: Record, checkpoint: Checkpoint | None) -> bool:
    """Whether the state is still that of the session which this one was made from: both must not draw the same."""
    policy = record.policy
    return checkpoint is not None and bool(policy.origin) and checkpoint.seq == policy.origin_seq


def _lost(told: dict[str, Any]) -> dict[str, str]:
    unsaved = told.get("unsaved")
    if not isinstance(unsaved, dict):
        return {}
    return bounded_unsaved({str(name): str(reason) for name, reason in unsaved.items()})


def _is_final(error: OSError | WireError) -> bool:
    """Whether another worker would not help."""
    if isinstance(error, OSError):
        return False
    return error.code == "store_unavailable" or error.details.get("cause") in ("integrity", "missing")


def _as_failure(error: OSError | WireError, *, has_state: bool) -> WireError:
    if isinstance(error, WireError) and error.code not in ("busy", "worker_unresponsive"):
        return error
    if has_state and isinstance(error, WireError):
        return WireError("restore_failed", "the workers that opened the last checkpoint did not survive it")
    return WireError("capacity", "a new worker did not answer", retry_after_ms=1000)
