"""What every part of the engine is given: the ports, the settings and the little that all of them need."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from orchestrator.core.ids import RANDOM_BYTES, prefixed_id
from orchestrator.engine.configuration import EngineConfig
from orchestrator.engine.intents import Intents
from orchestrator.engine.own_workers import OwnWorkers
from orchestrator.engine.vault import Vault
from orchestrator.ports import Clock, Store, StoreFacts
from orchestrator.telemetry.metrics import Metrics
from replwire.errors import WireError

_log = structlog.get_logger("bascule.engine")

INCIDENT: Final = "inc"
"""Kind of the ids that join an error that a client got to the lines of the log."""


@dataclass(slots=True)
class Services:
    """Handed down by `Engine`; nothing in it belongs to one session."""

    runtime: OwnWorkers
    store: Store
    clock: Clock
    config: EngineConfig
    metrics: Metrics
    vault: Vault
    random: Callable[[int], bytes]
    server: str
    """This front door's name in the store, the owner of replacements; the one before us had it too, and is dead."""
    intents: Intents = field(init=False)
    facts: StoreFacts = field(default_factory=lambda: StoreFacts("unknown", "none"))
    """What the store said of itself last."""
    store_is_away: bool = False
    """Whether it did not answer when it was asked last."""
    draining: bool = False
    """Whether this process takes no new work."""

    def __post_init__(self) -> None:
        self.intents = Intents(self.store)

    async def ask_store(self) -> StoreFacts:
        """What the store says of itself now; everybody knows afterwards whether it is away. Raises `WireError`."""
        before = self.facts
        try:
            self.facts = await self.store.facts()
        except WireError:
            self.store_is_away = True
            raise
        self.store_is_away = False
        _tell_changes(before, self.facts)
        return self.facts

    def fresh_id(self, prefix: str) -> str:
        """A random id of a kind."""
        return prefixed_id(prefix, self.random(RANDOM_BYTES))

    def incident_of(self, error: WireError) -> str:
        """The id under which the log has the rest of it: where it happened, or else a fresh one for here."""
        return str(error.details.get("incident") or self.fresh_id(INCIDENT))


def _tell_changes(before: StoreFacts, now: StoreFacts) -> None:
    """An operator who changes the store's settings under us finds in the log what came of it."""
    for warning in now.warnings:
        if warning not in before.warnings:
            _log.warning("store doubted", cause=warning)
    if before.durable not in ("none", now.durable):
        _log.warning("store changed", durable=now.durable, before=before.durable)


def digest(data: bytes) -> bytes:
    """The content id of a chunk."""
    return hashlib.sha256(data).digest()
