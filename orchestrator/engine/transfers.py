"""Export and import: who may, and with which key."""

from __future__ import annotations

from collections.abc import AsyncIterator

from orchestrator.core.ids import is_session_id
from orchestrator.core.principal import Principal
from orchestrator.core.session import visible_to
from orchestrator.engine.exporting import Exporter
from orchestrator.engine.importing import Importer
from orchestrator.engine.services import Services
from orchestrator.engine.states import States
from replwire.envelopes import Json
from replwire.errors import WireError

EXPORT_SCOPES = ("eval", "observe")
"""A file holds the state, which an eval could print, and the journal."""


class Transfers:
    """Of one front door."""

    def __init__(self, services: Services, images: tuple[str, ...]) -> None:
        key = services.config.export_key
        self._services = services
        self._has_key = bool(key)
        self._exporter = Exporter(services, States(services), key)
        self._importer = Importer(services, images, key)

    async def export(self, principal: Principal, session: str) -> AsyncIterator[bytes]:
        """The file, in pieces; raises `forbidden`, `not_found`, `session_gone`."""
        self._check_key()
        _check_scopes(principal, EXPORT_SCOPES)
        found = await self._services.store.read(session) if is_session_id(session) else None
        record = visible_to(found, principal.tenant, session)
        if record.policy.durability == "none":
            raise WireError("forbidden", "a session of durability `none` keeps no states", durability="none")
        return await self._exporter.export(record)

    async def import_(self, principal: Principal, request_id: str, file: AsyncIterator[bytes]) -> Json:
        """What the file became; see `Importer`."""
        self._check_key()
        _check_scopes(principal, ("eval",))
        if self._services.draining:
            raise WireError("draining", "this front door is going away", retry_after_ms=500)
        made = await self._importer.import_(principal, request_id, file)
        record = visible_to(made, principal.tenant, made.session)
        said = {"session": record.session, "seq": record.seq, "status": "parked", "etag": record.etag}
        return said | {"generation": record.generation, "origin": record.policy.origin}

    def _check_key(self) -> None:
        if not self._has_key:
            raise WireError("forbidden", "this installation has no export key (the setting `keys.export`)", cause="key")


def _check_scopes(principal: Principal, scopes: tuple[str, ...]) -> None:
    for scope in scopes:
        if scope not in principal.scopes:
            raise WireError("forbidden", f"the token lacks the scope {scope!r}", scope=scope)
