"""What this transport needs of the engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from orchestrator.core.principal import Principal
from orchestrator.ports import Channel
from replwire.envelopes import Json


class Looks(Protocol):
    """Looks at sessions that wake nothing; each raises `WireError`."""

    async def page(self, principal: Principal, limit: int, cursor: str | None) -> Json:
        """The tenant's open sessions, the newest first: `items` and `next_cursor`."""

    async def session(self, principal: Principal, session: str) -> Json:
        """What is known of one session."""

    async def outcome(self, principal: Principal, session: str, request_id: str) -> Json:
        """How an eval ended."""


class Moves(Protocol):
    """Sessions as files; each raises `WireError`."""

    async def export(self, principal: Principal, session: str) -> AsyncIterator[bytes]:
        """The file, in pieces."""

    async def import_(self, principal: Principal, request_id: str, file: AsyncIterator[bytes]) -> Json:
        """What the file became."""


class RestHost(Protocol):
    """The engine, as REST sees it."""

    @property
    def overview(self) -> Looks:
        """Reads that are no requests of the wire."""

    @property
    def transfers(self) -> Moves:
        """Export and import."""

    async def converse(
        self, channel: Channel, principal: Principal, *, session: str | None = None, told_everything: bool = False,
        lapsed: asyncio.Event | None = None,
    ) -> None:  # fmt: skip
        """One client's connection, until it is closed; soon after `lapsed` is set."""
