"""Sessions that begin with another one's state: forks, those opened `from` one, and copies into a new lineage."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import structlog

from orchestrator.core.ids import RANDOM_BYTES, session_id, sibling_id
from orchestrator.core.session import Checkpoint, OpenId, Record, Seed, SessionPolicy
from orchestrator.engine.quotas import refusals_counted
from orchestrator.engine.services import Services
from orchestrator.engine.states import READ_TRIES_MAX, States
from replwire.errors import WireError

CHUNKS_AT_ONCE: Final = 64
"""Copied from lineage to lineage with one call."""

_log = structlog.get_logger("bascule.sessions")


class _Asked(NamedTuple):
    """By which request, and how many open sessions its tenant may have with this one."""

    opened: OpenId
    sessions_max: int


class Forker:
    """Of one front door."""

    def __init__(self, services: Services, states: States) -> None:
        self._services = services
        self._states = states

    async def begin(
        self, parent: Record, at: int | str | None, policy: SessionPolicy, opened: OpenId, sessions_max: int
    ) -> Record:
        """A session of this policy with the parent's last state, or that of a seq or a pin; or the one that the same
        request began before. `sessions_max`: see `Store.create`. Raises `not_found`, `conflict`, `quota_exceeded`."""
        with refusals_counted(self._services.metrics):
            return await self._begin(parent, at, replace(policy, origin=parent.session), _Asked(opened, sessions_max))

    async def _begin(self, parent: Record, at: int | str | None, policy: SessionPolicy, asked: _Asked) -> Record:
        if at is None and parent.seq == 0:
            return await self._empty(policy, asked)
        for _ in range(READ_TRIES_MAX):
            state = await self._services.store.checkpoint(parent.session, at)
            if state is None:
                break
            try:
                return await self._begun(parent, at, state, policy, asked)
            except WireError as error:
                if error.code != "not_found":
                    raise
        return await self._begun_before(parent, at, policy, asked)

    async def _empty(self, policy: SessionPolicy, asked: _Asked) -> Record:
        """The parent has not committed anything yet: there is nothing to share."""
        random = self._services.random
        child = session_id(random(RANDOM_BYTES), random(RANDOM_BYTES))
        most = asked.sessions_max
        return await self._services.store.create(child, policy, asked.opened, sessions_max=most)

    async def _begun_before(self, parent: Record, at: int | str | None, policy: SessionPolicy, asked: _Asked) -> Record:
        """The state is not kept any more; whoever asks again by the same id still gets what that id began."""
        seq = parent.seq if at is None else at
        child, nothing = sibling_id(parent.session, self._services.random(RANDOM_BYTES)), Seed(1, "", b"", ())
        try:
            found = await self._services.store.fork(
                parent.session, seq, child, policy, nothing, asked.opened, sessions_max=asked.sessions_max
            )
        except WireError as error:
            if error.code != "not_found":
                raise
            found = None
        if found is None:
            raise await self._states.not_kept(parent.session, at)
        return found

    async def _begun(
        self, parent: Record, at: int | str | None, state: Checkpoint, policy: SessionPolicy, asked: _Asked
    ) -> Record:
        child = sibling_id(parent.session, self._services.random(RANDOM_BYTES))
        seed = self._seed(parent, state, child)
        where = at if isinstance(at, str) else state.seq
        policy = replace(policy, origin_seq=state.seq)
        record = await self._services.store.fork(
            parent.session, where, child, policy, seed, asked.opened, sessions_max=asked.sessions_max
        )
        if record is None:
            return await self._copied(parent, state, policy, asked)
        self._say(parent, record)
        return record

    def _seed(self, parent: Record, state: Checkpoint, child: str) -> Seed:
        """Sealed for the child."""
        manifest = self._states.opened(parent, state)
        sealed = self._services.vault.seal_manifest(parent.policy.tenant, child, 0, state.seq, manifest)
        return Seed(state.seq, state.etag, sealed, state.references)

    async def _copied(self, parent: Record, state: Checkpoint, policy: SessionPolicy, asked: _Asked) -> Record:
        """The lineage is full: a new one, with chunks of its own."""
        random, store = self._services.random, self._services.store
        child = session_id(random(RANDOM_BYTES), random(RANDOM_BYTES))
        wanted = list(dict.fromkeys(state.references))
        for start in range(0, len(wanted), CHUNKS_AT_ONCE):
            part = wanted[start : start + CHUNKS_AT_ONCE]
            found = await store.chunks(parent.session, part)
            if len(found) < len(part):
                raise WireError("not_found", "the state is not kept any more")
            await store.put(child, tuple(found.items()))
        seed = self._seed(parent, state, child)
        record = await store.plant(child, policy, seed, (), asked.opened, sessions_max=asked.sessions_max)
        if record is None:
            raise WireError("store_unavailable", "the copy was too slow for the store", retry_after_ms=1000)
        self._say(parent, record)
        return record

    def _say(self, parent: Record, record: Record) -> None:
        _log.info("session forked", session_id=record.session, origin=parent.session, seq=record.policy.origin_seq)
