"""A session that is in hand on this front door: its open requests, its subscribers, its link and its commits.

One object owns all of it; everything runs on the event loop, and nothing here waits. What takes time (finding,
restoring, replacing a worker) is the work of `connecting`; what the worker says goes through `reception`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from orchestrator.core.commits import link_key
from orchestrator.core.encoding import to_text
from orchestrator.core.intake import Request
from orchestrator.core.session import Record, WorkerAddress, with_all_limits
from orchestrator.engine.acknowledging import Acknowledger
from orchestrator.engine.catching_up import CatchUp
from orchestrator.engine.commits import Committer
from orchestrator.engine.connecting import Connector
from orchestrator.engine.link import Link
from orchestrator.engine.phase import Phase, move_phase
from orchestrator.engine.pool import Progress
from orchestrator.engine.reception import Reception
from orchestrator.engine.request_table import RequestTable
from orchestrator.engine.requests import Pending, Subscriber
from orchestrator.engine.services import Services
from orchestrator.engine.stray import Stray
from orchestrator.ports import Raised
from replwire.cursors import Cursor
from replwire.envelopes import Json, envelope
from replwire.errors import WireError
from replwire.frames import Frame, Kind


class Workers(Protocol):
    """Where warm workers come from."""

    async def take_worker(self, image: str, progress: Progress) -> WorkerAddress:
        """One of that image; raises `WireError("capacity")`."""

    def worker_in_use(self, image: str) -> None:
        """What was taken last has its session's state."""


class LiveSession:
    """Made by `Sessions`; over with `ended()`, or let go when nobody here needs it."""

    def __init__(self, services: Services, record: Record, workers: Workers) -> None:
        self.services = services
        self.record = record
        self.highest = record.generation
        """Generation of all that were seen: a store that went back must not count any of them again."""
        self.policy = with_all_limits(record.policy, services.config.limits)
        self.id = record.session
        self.phase = Phase.NONE
        self._settled = asyncio.Event()
        self._settled.set()
        self._was_linked = False
        self.link: Link | None = None
        self.subscribers: list[Subscriber] = []
        self.last_used = services.clock.monotonic()
        self.last_event = Cursor(record.generation, 0)
        self.acknowledger = Acknowledger(self)
        self.committer = self.new_committer(record, ())
        self.requests = RequestTable(services, self)
        self.connector = Connector(services, self)
        self.catch_up = CatchUp(services, self)
        self.stray = Stray(services, self)
        self.lost: Mapping[str, str] = {}
        """Names that the last restore could not bring back, with reasons."""
        self.holds_unsaved = False
        """Whether the last result listed names that no checkpoint keeps."""
        self.reception = Reception(services, self)
        self._workers = workers

    # --- requests -----------------------------------------------------------------------------------------------

    def submit(self, request: Request, subscriber: Subscriber) -> None:
        """Accept a request for the worker; its one answer goes to the subscriber. Raises `WireError`."""
        if self.phase is Phase.ENDED:
            raise WireError("session_gone", "the session was closed", session=self.id)
        self.last_used = self.services.clock.monotonic()
        pending = self.requests.accept(request, subscriber)
        if pending is None:
            return
        if self.phase is Phase.LINKED:
            self.requests.dispatch(pending)
        else:
            self.connect()

    @property
    def is_busy(self) -> bool:
        """Whether something of it waits, runs, or is not committed yet."""
        return bool(self.requests) or bool(self.committer.waiting)

    @property
    def parks_by_itself(self) -> bool:
        """Whether its worker may be ended unasked: nothing is lost by it, or its policy allows that."""
        return self.policy.park_unsaved or not self.holds_unsaved

    # --- from the link ------------------------------------------------------------------------------------------

    def frame_received(self, link: Link, frame: Frame) -> None:
        """See `LinkListener`."""
        if link is self.link:
            self.reception.frame(link, frame)

    def link_lost(self, link: Link, cause: str) -> None:
        """See `LinkListener`."""
        if link is self.link and self.phase is Phase.LINKED:
            told, self.reception.last_words = self.reception.last_words, {}
            self._move(Phase.CONNECTING)
            self.connector.investigate(cause, told)

    # --- the worker ---------------------------------------------------------------------------------------------

    def _move(self, to: Phase) -> None:
        self.phase = move_phase(self.phase, to)
        if to is Phase.CONNECTING:
            self._settled.clear()
        else:
            self._settled.set()

    async def settled(self) -> None:
        """Until it is linked, or there is no way to a worker."""
        await self._settled.wait()

    def connect(self) -> None:
        """See that there is a worker; open requests are dispatched when there is."""
        if self.phase is Phase.NONE:
            self._move(Phase.CONNECTING)
            self.connector.connect()

    def look_after(self) -> None:
        """Link to its worker, if it has one; nobody asks for one if it has not."""
        if self.phase is Phase.NONE:
            self._move(Phase.CONNECTING)
            self.connector.investigate("", {})

    def replace_worker(self, code: str, message: str) -> None:
        """The worker is no good any more: end it and go on from the last commit."""
        if self.phase is Phase.LINKED:
            self._move(Phase.CONNECTING)
            self.connector.replace(code, message)

    def park(self, idle_s: float) -> bool:
        """End the worker of a session that nobody has used for so long, on any front door; its state stays in the
        store. Whether it is on the way."""
        if self.phase is not Phase.LINKED or self.is_busy:
            return False
        self._move(Phase.CONNECTING)
        self.connector.park(idle_s)
        return True

    def linked_again(self) -> None:
        """The worker does not end after all."""
        self._move(Phase.LINKED)
        if self.link is not None and self.link.lost:
            self.link_lost(self.link, "")
            return
        for pending in self.requests.all():
            if not pending.dispatched:
                self.requests.dispatch(pending)

    def refused_by_parking(self, pending: Pending) -> None:
        """The worker begins nothing any more: the request waits for what the store says of it."""
        pending.dispatched = pending.intended = False
        if self.phase is Phase.LINKED:
            self._move(Phase.CONNECTING)
            self.connector.reread()

    def rewound(self, raised: Raised) -> None:
        """The session is at an earlier state: what runs or waits is over, and a new worker gets that state."""
        if self.phase is not Phase.ENDED:
            self._move(Phase.CONNECTING)
            self.connector.rewound(raised)

    def linked(self, record: Record, link: Link, last_event: int) -> None:
        """There is a worker: send it what waits."""
        self.record, self.link, self.highest = record, link, max(self.highest, record.generation)
        self._move(Phase.LINKED)
        heard, self.last_event = self.last_event, Cursor(record.generation, last_event)
        if self._was_linked and heard.generation == record.generation and heard < self.last_event:
            # Said while the link was lost; whoever wants it attaches with its cursor.
            self.tell("gap", {"from": str(heard), "to": str(self.last_event)})
        self._was_linked = True
        if link.lost:
            # It went between its welcome and now: nothing has been sent to it.
            self.link_lost(link, "")
            return
        self.tell("status", {"status": "ready"})
        for pending in self.requests.all():
            self.requests.dispatch(pending)
        link.serve()

    def dismiss(self) -> None:
        """The worker's generation is over: it ends, also when another server started it and only that could end it."""
        if self.link is not None:
            self.link.send(Kind.END)
        self.unlink()

    def unlink(self) -> None:
        """Hang up, and let nothing more be committed under this generation."""
        self.committer.stop()
        self.requests.forget_refs()
        self.stray.forget()
        link, self.link = self.link, None
        if link is not None:
            link.close()

    def no_worker(self) -> None:
        """Nothing runs for the session now; the next request brings it back."""
        self.unlink()
        if self.phase is Phase.CONNECTING:
            self._move(Phase.NONE)

    async def take_worker(self) -> WorkerAddress:
        """A worker from the pool of this session's image; those who listen are told of the queue."""
        return await self._workers.take_worker(self.policy.image, self._queued)

    def worker_in_use(self) -> None:
        """The worker that was taken has the state."""
        self._workers.worker_in_use(self.policy.image)

    def _queued(self, position: int) -> None:
        self.tell("status", {"status": "starting", "position": position})

    def new_committer(self, record: Record, references: tuple[bytes, ...]) -> Committer:
        """Commits for a generation, building on the record's state."""
        committer = Committer(self.services, self.acknowledger, record)
        committer.start_from(record.seq, record.etag, references)
        return committer

    def link_key(self, generation: int) -> str:
        """What a further link to this generation's worker shows."""
        return link_key(self.services.config.stamp_key, self.id, generation)

    # --- subscribers --------------------------------------------------------------------------------------------

    async def attach(self, subscriber: Subscriber, cursor: Cursor | None) -> None:
        """Missed events first, then live ones."""
        await self.catch_up.attach(subscriber, cursor)

    def detach(self, subscriber: Subscriber) -> None:
        """This client hears nothing more of the session but the answers to its open requests."""
        if subscriber in self.subscribers:
            self.subscribers.remove(subscriber)
        self.last_used = self.services.clock.monotonic()

    def leave(self, subscriber: Subscriber) -> None:
        """This client has gone."""
        self.detach(subscriber)
        self.requests.leave(subscriber)

    def tell(self, type_: str, payload: Json, *, cursor: Cursor | None = None) -> None:
        """A word about the session's own life, to those who want it."""
        listeners = [subscriber for subscriber in self.subscribers if subscriber.told_everything]
        if listeners:
            said = str(cursor) if cursor else None
            text = to_text(envelope(type_, payload, self.services.clock.now(), session=self.id, cursor=said))
            for subscriber in listeners:
                subscriber.deliver(text)

    # --- the end ------------------------------------------------------------------------------------------------

    def ended(self, reason: str) -> None:
        """The session is over: nothing of it runs or waits any more."""
        self._leave(WireError("session_gone", reason, session=self.id))
        self.tell("status", {"status": "closing", "cause": reason})

    def let_go(self) -> None:
        """This process ends; the worker may go on, and any front door may take over."""
        self._leave(WireError("draining", "this front door is going away; ask again by the same id"))

    def _leave(self, error: WireError) -> None:
        if self.phase is not Phase.ENDED:
            self._move(Phase.ENDED)
        self.connector.stop()
        self.unlink()
        self.requests.fail_all(error)
