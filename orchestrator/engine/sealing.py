"""Outcomes as a commit: chained, and sealed for their tenant, session and generation."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core.commits import Commit, Entry, chain
from orchestrator.core.outcomes import Outcome, journal_entry
from orchestrator.core.session import Record
from orchestrator.engine.services import Services, digest


class CommitSealer:
    """For one generation of one session."""

    def __init__(self, services: Services, record: Record) -> None:
        self._vault = services.vault
        self._clock = services.clock
        self._session = record.session
        self._tenant = record.policy.tenant
        self._generation = record.generation
        self._nonce = record.nonce

    def commit(self, base_etag: str, batch: tuple[Outcome, ...], chunks: Mapping[bytes, bytes]) -> Commit:
        """All of the batch with the checkpoint of its last one; `chunks` are new with it, in plain."""
        vault, tenant, last = self._vault, self._tenant, batch[-1]
        etags = chain(base_etag, batch, digest(last.state.manifest))
        at = self._clock.now()
        return Commit(
            session=self._session,
            generation=self._generation,
            nonce=self._nonce,
            base_etag=base_etag,
            etags=etags,
            entries=tuple(self._entry(outcome, etag, at) for outcome, etag in zip(batch, etags, strict=True)),
            manifest=vault.seal_manifest(tenant, self._session, self._generation, last.seq, last.state.manifest),
            references=last.state.references,
            chunks=tuple((item, vault.seal_chunk(tenant, item, data)) for item, data in chunks.items()),
            last_event=last.last_event,
        )

    def _entry(self, outcome: Outcome, etag: str, at: float) -> Entry:
        plain = journal_entry(outcome, self._generation, etag, at)
        sealed = self._vault.seal_entry(self._tenant, self._session, outcome.seq, plain)
        return Entry(outcome.seq, outcome.request_id, outcome.body_hash, sealed)
