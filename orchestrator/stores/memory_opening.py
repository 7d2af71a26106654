"""The in-memory store's tables, and every way in which a session comes into them: new, as a fork, planted."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from orchestrator.core.commits import EMPTY_ETAG, Entry
from orchestrator.core.ids import is_session_id, lineage_of
from orchestrator.core.session import Checkpoint, OpenId, Record, Seed, SessionPolicy, Status
from orchestrator.stores.limits import StoreLimits
from orchestrator.stores.memory_lineage import Lineage
from orchestrator.stores.memory_state import Session
from orchestrator.stores.quotas import sessions_used_up
from replwire.errors import WireError

NONCE_BYTES: Final = 16


class OpenedIds:
    """Ids of `open` by principal."""

    def __init__(self, limits: StoreLimits) -> None:
        self._limits = limits
        self._rows: dict[tuple[str, str], dict[str, tuple[float, str, bytes]]] = {}

    def find(self, opened: OpenId, now: float) -> str | None:
        """The session that the id opened; None for a new one. Raises `conflict`."""
        rows = self._rows.get((opened.tenant, opened.subject), {})
        at, session, body_hash = rows.get(opened.request_id, (-math.inf, "", b""))
        if now - at >= self._limits.opened_kept_s:
            return None
        if body_hash != opened.body_hash:
            raise WireError("conflict", "the id was used with another body")
        return session

    def keep(self, opened: OpenId, session: str, now: float) -> None:
        """The id opens this session."""
        rows, limits = self._rows.setdefault((opened.tenant, opened.subject), {}), self._limits
        rows.pop(opened.request_id, None)
        rows[opened.request_id] = now, session, opened.body_hash
        for oldest in list(rows)[:2]:
            if now - rows[oldest][0] >= limits.opened_kept_s or len(rows) > limits.opened_kept:
                del rows[oldest]


class Tables:
    """All sessions and lineages."""

    def __init__(self, limits: StoreLimits, now: Callable[[], float]) -> None:
        self.limits = limits
        self.now = now
        self.sessions: dict[str, Session] = {}
        self._lineages: dict[str, Lineage] = {}
        self._opened = OpenedIds(limits)
        self._of_tenant: dict[str, set[str]] = {}
        """Open sessions."""

    # --- finding ------------------------------------------------------------------------------------------------

    def find(self, session: str) -> Session | None:
        """What is stored of it; a text that is no session id is a `ValueError`."""
        if not is_session_id(session):
            raise ValueError("not a session id")
        found = self.sessions.get(session)
        if found is not None and found.gone_at <= self.now():
            del self.sessions[session]
            return None
        return found

    def find_open(self, session: str) -> Session | None:
        """The same, unless it was closed."""
        found = self.find(session)
        return found if found is not None and found.record.status is Status.OPEN else None

    def lineage(self, session: str) -> Lineage | None:
        """Of that session; None when nothing is kept of it."""
        self._drop_unplanted()
        return self._lineages.get(lineage_of(session))

    def lineages(self) -> Sequence[Lineage]:
        """All of them."""
        self._drop_unplanted()
        return tuple(self._lineages.values())

    def _drop_unplanted(self) -> None:
        now = self.now()
        for name in [name for name, lineage in self._lineages.items() if lineage.gone_at <= now]:
            del self._lineages[name]

    # --- beginning and end --------------------------------------------------------------------------------------

    def create(
        self, session: str, policy: SessionPolicy, opened: OpenId | None, sessions_max: int | None = None
    ) -> Record:
        """See `Store.create`."""
        self.find(session)
        if opened is not None:
            known = self._opened.find(opened, self.now())
            if known is None:
                self._opened.keep(opened, session, self.now())
            session = known or session
            found = self.find(session)
            if found is not None:
                return found.record
        self._check_place(session, policy.tenant, sessions_max)
        return self._add(session, policy).record

    def fork(
        self, parent: str, at: int | str, session: str, policy: SessionPolicy, seed: Seed, opened: OpenId | None,
        sessions_max: int | None = None,
    ) -> Record | None:  # fmt: skip
        """See `Store.fork`."""
        known = self._opened_before(session, opened)
        if known is not None:
            return known
        self._check_place(session, policy.tenant, sessions_max)
        found, lineage = self.find_open(parent), self.lineage(parent)
        state = found.state(at) if found else None
        if lineage is None or state is None or (state.etag, state.references) != (seed.etag, seed.references):
            raise WireError("not_found", "that state is not kept any more", session=parent)
        if len(lineage.members) >= self.limits.lineage_max:
            return None
        return self._begin(session, policy, seed, (), opened)

    def plant(
        self, session: str, policy: SessionPolicy, seed: Seed, entries: Sequence[Entry], opened: OpenId | None,
        sessions_max: int | None = None,
    ) -> Record | None:  # fmt: skip
        """See `Store.plant`."""
        known = self._opened_before(session, opened)
        if known is not None:
            return known
        self._check_place(session, policy.tenant, sessions_max)
        lineage = self.lineage(session) or Lineage()
        if lineage.missing(seed.references, {}):
            return None
        return self._begin(session, policy, seed, entries[-self.limits.journal_kept :], opened)

    def put(self, session: str, chunks: Sequence[tuple[bytes, bytes]]) -> None:
        """See `Store.put`."""
        self.find(session)
        now, lineage = self.now(), self.lineage(session) or Lineage()
        self._lineages[lineage_of(session)] = lineage
        lineage.put(dict(chunks), now)
        if not lineage.members:
            lineage.gone_at = now + self.limits.chunk_grace_s

    def end(self, session: str, found: Session) -> None:
        """Let go of all that it holds; its record says that it was closed, for a while."""
        lineage, now = self._lineages[lineage_of(session)], self.now()
        for state in found.held:
            lineage.let_go(state.references)
        lineage.members.discard(session)
        self._of_tenant[found.record.policy.tenant].discard(session)
        if not lineage.members:
            del self._lineages[lineage_of(session)]
        record = Record(
            session, found.record.policy, Status.CLOSED, found.record.created_at, found.record.generation,
            found.record.nonce, found.record.seq, found.record.etag, seen_at=now,
        )  # fmt: skip
        self.sessions[session] = Session(record, gone_at=now + self.limits.tombstone_s)

    def _opened_before(self, session: str, opened: OpenId | None) -> Record | None:
        """The record of what this `open` made before. A state is sealed for its session: an id whose session is not
        there opens the new one."""
        known = self._opened.find(opened, self.now()) if opened is not None else None
        found = self.find(known) if known is not None else None
        if found is None and self.find(session) is not None:
            raise ValueError("the session id is in use")
        return found.record if found else None

    def _begin(
        self, session: str, policy: SessionPolicy, seed: Seed, entries: Sequence[Entry], opened: OpenId | None
    ) -> Record:
        begun = self._add(session, policy)
        begun.record = replace(begun.record, seq=seed.seq, etag=seed.etag)
        begun.states[seed.seq] = Checkpoint(seed.seq, 0, seed.manifest, seed.references, seed.etag)
        begun.remember(entries, self.now())
        self._lineages[lineage_of(session)].hold(seed.references)
        if opened is not None:
            self._opened.keep(opened, session, self.now())
        return begun.record

    def _add(self, session: str, policy: SessionPolicy) -> Session:
        if self.find(session) is not None:
            raise ValueError("the session id is in use")
        now, nonce = self.now(), secrets.token_hex(NONCE_BYTES)
        added = self.sessions[session] = Session(
            Record(session, policy, Status.OPEN, now, 0, nonce, 0, EMPTY_ETAG, now)
        )
        self._lineages.setdefault(lineage_of(session), Lineage()).add(session)
        self._of_tenant.setdefault(policy.tenant, set()).add(session)
        return added

    def _check_place(self, session: str, tenant: str, most: int | None) -> None:
        taken = self._of_tenant.get(tenant, set())
        if most is not None and session not in taken and len(taken) >= most:
            raise sessions_used_up(most, len(taken))
