"""An exported session becomes a session of this installation: checked, sealed anew, and planted in one step.

The state is bytes to us before and after: only a worker's interpreter opens it, inside its sandbox.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from orchestrator.core.commits import Entry, body_hash
from orchestrator.core.encoding import canonical_bytes
from orchestrator.core.export_format import ExportReader, Kind
from orchestrator.core.export_format import Record as FileRecord
from orchestrator.core.ids import RANDOM_BYTES, is_session_id, session_id
from orchestrator.core.journal import read_entry
from orchestrator.core.policy import ACTING_OUTSIDE, effective_limits
from orchestrator.core.principal import Principal, is_tenant
from orchestrator.core.session import OpenId, Record, Seed, SessionPolicy
from orchestrator.engine.exporting import JOURNAL_BYTES_MAX, JOURNAL_ENTRIES_MAX
from orchestrator.engine.quotas import refusals_counted
from orchestrator.engine.services import Services, digest
from replwire.errors import WireError
from replwire.frames import CHUNK_BYTES_MAX

REFERENCES_BYTES_MAX: Final = 32 * 65_536
"""Of the list of a state's chunks: 16 GiB of state."""

CHUNKS_AT_ONCE: Final = 16
"""Written to the store with one call."""

_DURABILITIES: Final = ("commit", "async")
_log = structlog.get_logger("bascule.sessions")


@dataclass(slots=True)
class _Arriving:
    """What has been read so far."""

    session: str
    tenant: str
    seq: int = 0
    etag: str = ""
    origin: str = ""
    policy: dict[str, Any] | None = None
    manifest: bytes | None = None
    references: tuple[bytes, ...] | None = None
    missing: set[bytes] = field(default_factory=set)
    entries: list[Entry] = field(default_factory=list)
    entry_bytes: int = 0
    last_etag: str = ""
    chunks: list[tuple[bytes, bytes]] = field(default_factory=list)


class Importer:
    """Of one front door."""

    def __init__(self, services: Services, images: tuple[str, ...], key: bytes) -> None:
        self._services = services
        self._images = images
        self._key = key

    async def import_(self, principal: Principal, request_id: str, file: AsyncIterator[bytes]) -> Record:
        """The session that the file became, or had become by the same request; raises `bad_message` for a file that is
        not as it was written, `forbidden` for another tenant's or another key, `quota_exceeded`."""
        random = self._services.random
        new = _Arriving(session_id(random(RANDOM_BYTES), random(RANDOM_BYTES)), principal.tenant)
        reader, whole, is_begun = ExportReader(self._key), hashlib.sha256(), False
        async for piece in file:
            whole.update(piece)
            for record in reader.feed(piece):
                if not is_begun:
                    is_begun = True
                    _begin(new, reader.head or {}, principal)
                await self._take(new, record)
        reader.finish()
        opened = OpenId(principal.tenant, principal.subject, f"import/{request_id}", whole.digest())
        return await self._planted(new, principal, opened)

    async def _take(self, new: _Arriving, record: FileRecord) -> None:
        match record.kind:
            case Kind.POLICY:
                new.policy = _object(record.data)
            case Kind.MANIFEST:
                new.manifest = record.data
            case Kind.REFERENCES:
                _take_references(new, record.data)
            case Kind.ENTRY:
                self._take_entry(new, record.data)
            case Kind.CHUNK:
                await self._take_chunk(new, record.data)
            case kind:
                raise _wrong(f"a record of kind {kind}")

    def _take_entry(self, new: _Arriving, data: bytes) -> None:
        new.entry_bytes += len(data)
        if len(new.entries) >= JOURNAL_ENTRIES_MAX or new.entry_bytes > JOURNAL_BYTES_MAX:
            raise WireError("too_large", f"the journal is over {JOURNAL_BYTES_MAX} bytes", limit="JOURNAL_BYTES_MAX")
        entry = read_entry(data)
        if new.entries and entry.seq != new.entries[-1].seq + 1:
            raise _wrong("a journal with holes")
        sealed = self._services.vault.seal_entry(new.tenant, new.session, entry.seq, data)
        hashed = body_hash(entry.type, canonical_bytes(entry.body))
        new.entries.append(Entry(entry.seq, entry.id, hashed, sealed))
        new.last_etag = entry.etag

    async def _take_chunk(self, new: _Arriving, data: bytes) -> None:
        item, plain = data[:32], data[32:]
        if item not in new.missing or len(plain) > CHUNK_BYTES_MAX or digest(plain) != item:
            raise _wrong("a part of the state")
        new.missing.discard(item)
        new.chunks.append((item, self._services.vault.seal_chunk(new.tenant, item, plain)))
        if len(new.chunks) >= CHUNKS_AT_ONCE:
            await self._put(new)

    async def _put(self, new: _Arriving) -> None:
        if new.chunks:
            chunks, new.chunks = tuple(new.chunks), []
            await self._services.store.put(new.session, chunks)

    async def _planted(self, new: _Arriving, principal: Principal, opened: OpenId) -> Record:
        if new.policy is None or new.manifest is None or new.references is None or new.missing:
            raise _wrong("a state with parts missing")
        if new.entries and (new.entries[-1].seq, new.last_etag) != (new.seq, new.etag):
            raise _wrong("a journal that does not end with the state")
        await self._put(new)
        sealed = self._services.vault.seal_manifest(new.tenant, new.session, 0, new.seq, new.manifest)
        seed = Seed(new.seq, new.etag, sealed, new.references)
        limits = effective_limits(self._services.config.limits, principal)
        policy, most = self._policy(new, new.policy, principal, limits), limits["sessions_max"]
        with refusals_counted(self._services.metrics):
            record = await self._services.store.plant(new.session, policy, seed, new.entries, opened, sessions_max=most)
        if record is None:
            raise WireError("store_unavailable", "the file came too slowly for the store", retry_after_ms=1000)
        if record.session == new.session:
            _log.info("session imported", session_id=new.session, origin=new.origin, seq=new.seq)
        return record

    def _policy(
        self, new: _Arriving, told: Mapping[str, Any], principal: Principal, limits: Mapping[str, int]
    ) -> SessionPolicy:
        """Its own, lowered by what is in force here for whoever imports it."""
        theirs = told.get("limits") if isinstance(told.get("limits"), dict) else {}
        granted = {name: int(_lower(value, (theirs or {}).get(name))) for name, value in limits.items()}
        image, name = told.get("image"), told.get("name")
        return SessionPolicy(
            tenant=principal.tenant,
            subject=principal.subject,
            durability=told["durability"] if told.get("durability") in _DURABILITIES else "commit",
            image=image if image in self._images else self._images[0],
            name=name if isinstance(name, str) and name.isprintable() else "",
            idle_timeout_s=_lower(float(limits["idle_timeout_s"]), told.get("idle_timeout_s")),
            limits=granted,
            acts_outside=not ACTING_OUTSIDE.isdisjoint(principal.scopes),
            park_unsaved=told.get("park_unsaved") is not False,
            origin=new.origin,
            origin_seq=new.seq,
        )


def _begin(new: _Arriving, head: Mapping[str, Any], principal: Principal) -> None:
    tenant, origin, seq, etag = (head.get(name) for name in ("tenant", "session", "seq", "etag"))
    if not (is_tenant(tenant) and isinstance(origin, str) and is_session_id(origin)):
        raise _wrong("a head without tenant and session")
    if not (isinstance(seq, int) and 0 < seq < 2**53 and isinstance(etag, str) and etag):
        raise _wrong("a head without a state")
    if tenant != principal.tenant and "admin" not in principal.scopes:
        words = "the file is another tenant's; to import it takes the scope 'admin'"
        raise WireError("forbidden", words, scope="admin")
    new.origin, new.seq, new.etag = origin, seq, etag


def _take_references(new: _Arriving, data: bytes) -> None:
    if new.references is not None or len(data) % 32:
        raise _wrong("a list of parts")
    if len(data) > REFERENCES_BYTES_MAX:
        raise WireError("too_large", "the state has too many parts", limit="REFERENCES_BYTES_MAX")
    new.references = tuple(data[start : start + 32] for start in range(0, len(data), 32))
    new.missing = set(new.references)


def _lower(here: float, theirs: object) -> float:
    if isinstance(theirs, bool) or not isinstance(theirs, int | float) or not theirs >= 0:
        return here
    return min(here, theirs)


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        raise _wrong("a record that is not JSON") from None
    if not isinstance(found, dict):
        raise _wrong("a record that is no object")
    return found


def _wrong(what: str) -> WireError:
    return WireError("bad_message", f"the file holds {what} that no export has", cause="damaged")
