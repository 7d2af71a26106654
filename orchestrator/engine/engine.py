"""The engine: what `app` builds and transports talk to."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import structlog

from orchestrator.core.principal import Principal
from orchestrator.engine.configuration import EngineConfig
from orchestrator.engine.conversation import Conversation
from orchestrator.engine.draining import Drain
from orchestrator.engine.overview import Overview
from orchestrator.engine.own_workers import OwnWorkers
from orchestrator.engine.services import Services
from orchestrator.engine.sessions import Sessions
from orchestrator.engine.sweeper import Sweeper
from orchestrator.engine.transfers import Transfers
from orchestrator.engine.vault import Vault
from orchestrator.ports import Channel, Clock, Runtime, Store
from orchestrator.telemetry.metrics import Metrics
from replwire.errors import WireError

_log = structlog.get_logger("bascule.engine")

Check = tuple[str, bool, str]
"""Name, whether it is well, and words."""


class Engine:
    """Everything between a transport's channel and the ports."""

    def __init__(
        self, *, runtime: Runtime, store: Store, clock: Clock, config: EngineConfig, metrics: Metrics, server_name: str,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:  # fmt: skip
        self._services = Services(
            runtime=OwnWorkers(runtime), store=store, clock=clock, config=config, metrics=metrics,
            vault=Vault(config.seal_key, random), random=random, server=server_name,
        )  # fmt: skip
        self._sessions = Sessions(self._services)
        self._sweeper = Sweeper(self._services, self._sessions)
        self.overview = Overview(self._services, self._sessions)
        """Looks at sessions that wake nothing."""
        self.transfers = Transfers(self._services, self._sessions.images)
        """Export and import."""
        self._conversations: set[Conversation] = set()

    async def start(self) -> None:
        """Reap what nobody owns, fill the pool, begin the rounds. A store that is away is not an error: not ready."""
        try:
            facts = await self._services.ask_store()
            await self._sweeper.reap()
            _log.info("store found", software=facts.software, durable=facts.durable)
        except WireError as error:
            _log.warning("store missed", cause=error.message)
        self._sessions.fill_pools()
        self._sweeper.start()

    async def converse(
        self, channel: Channel, principal: Principal, *, session: str | None = None, told_everything: bool = False,
        lapsed: asyncio.Event | None = None,
    ) -> None:  # fmt: skip
        """One client's connection, until it is closed. Once `lapsed` is set, or the principal's time is over, what
        runs may end, and then it is closed with 1008."""
        conversation = Conversation(
            self._services, self._sessions, channel, principal, lapsed or asyncio.Event(),
            told_everything=told_everything or session is not None,
        )  # fmt: skip
        self._conversations.add(conversation)
        try:
            await conversation.run(session)
        finally:
            self._conversations.discard(conversation)

    async def checks(self) -> list[Check]:
        """What readiness looks at."""
        draining = self._services.draining
        found: list[Check] = [("draining", not draining, "going away" if draining else "serving")]
        try:
            facts = await self._services.ask_store()
            found.append(("store", True, "; ".join((f"{facts.software}, durable: {facts.durable}", *facts.warnings))))
        except WireError as error:
            found.append(("store", False, error.message))
        ready = self._sessions.workers_ready
        found.append(("workers", True, f"{ready} warm, {len(self._sessions.live)} sessions in hand"))
        return found

    async def drain(self, timeout_s: float) -> None:
        """See `Drain`. Once: a second call would find nobody."""
        await Drain(self._services, lambda: self._sessions.live, self._conversations).run(timeout_s)

    async def close(self) -> None:
        """After `drain`: release workers that cannot outlive us, the runtime and the store."""
        await self._sweeper.close()
        await self._sessions.close()
        await self._services.intents.close()
        await self._services.runtime.close()
        await self._services.store.close()
