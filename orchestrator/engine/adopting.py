"""A worker that runs already becomes this front door's: dialled, shown that we belong together, asked where it is."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

import structlog

from orchestrator.core.encoding import to_text
from orchestrator.core.session import Record, WorkerAddress
from orchestrator.engine.link import Link
from orchestrator.engine.restoring import open_link_to
from orchestrator.engine.services import Services
from replwire.errors import WireError
from replwire.frames import Kind

if TYPE_CHECKING:
    from orchestrator.engine.session import LiveSession

_log = structlog.get_logger("bascule.session")


class Adopted(Enum):
    """What became of a try."""

    LINKED = "linked"
    NOT_NOW = "not now"
    """It can't be reached, or does not answer; it may later."""
    NEVER = "never"
    """It is not this session's, or talks nonsense."""


class Welcome(NamedTuple):
    """Where an adopted worker is."""

    event: int
    """Number of the last event."""
    committed: int
    """Up to this seq a front door has confirmed."""
    running: str
    """Id of the request that runs; empty for none."""


class Adopter:
    """Of one `LiveSession`."""

    def __init__(self, services: Services, session: LiveSession) -> None:
        self._services = services
        self._session = session

    async def adopt(self, record: Record, worker: WorkerAddress) -> Adopted:
        """Link to the worker that the record names, if it lives and is ours."""
        session = self._session
        try:
            link = await open_link_to(self._services, session, worker)
        except OSError:
            return Adopted.NOT_NOW
        try:
            welcome = await self._attached(record, link)
            if isinstance(welcome, Adopted):
                return welcome
            await self._build_on(record, welcome)
            session.linked(record, link, welcome.event)
            if welcome.running:
                session.stray.found(welcome.running)
        finally:
            if link is not session.link:
                link.close()
        _log.info("worker adopted", session_id=session.id, generation=record.generation)
        return Adopted.LINKED

    async def _build_on(self, record: Record, welcome: Welcome) -> None:
        """The next commit builds on what the store has; with durability `none` the worker says where it is."""
        session = self._session
        state = await self._services.store.checkpoint(session.id)
        session.committer.stop()
        session.committer = session.new_committer(record, ())
        if session.policy.durability == "none":
            session.committer.seq = welcome.committed
        elif state is not None:
            session.committer.start_from(state.seq, state.etag, state.references)

    async def _attached(self, record: Record, link: Link) -> Welcome | Adopted:
        asked = {
            "session": self._session.id,
            "generation": record.generation,
            "link_key": self._session.link_key(record.generation),
        }
        try:
            said = await link.call(Kind.ATTACH, (to_text(asked).encode(),))
        except WireError as error:
            return Adopted.NEVER if error.code == "forbidden" else Adopted.NOT_NOW
        return _welcome(said)


def _welcome(said: dict[str, Any]) -> Welcome | Adopted:
    event, committed, running = said.get("event"), said.get("committed"), said.get("running")
    if not (_is_number(event) and _is_number(committed)):
        return Adopted.NEVER
    return Welcome(event, committed, running if isinstance(running, str) else "")


def _is_number(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and 0 <= value < 2**63
