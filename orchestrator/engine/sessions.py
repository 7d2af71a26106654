"""The sessions in hand on this front door. Nothing in it matters: any of them is found again through the store."""

from __future__ import annotations

import asyncio

import structlog

from orchestrator.core.ids import RANDOM_BYTES, is_session_id, session_id
from orchestrator.core.session import OpenId, Record, SessionPolicy, Status, WorkerAddress, visible_to
from orchestrator.engine.phase import Phase
from orchestrator.engine.pool import Pool, Progress
from orchestrator.engine.pressure import Pressure
from orchestrator.engine.quotas import refusals_counted
from orchestrator.engine.services import Services
from orchestrator.engine.session import LiveSession
from replwire.errors import WireError

_log = structlog.get_logger("bascule.sessions")


class Sessions:
    """Opens, finds and ends sessions; has the pools of warm workers."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._live: dict[str, LiveSession] = {}
        self._pools: dict[str, Pool] = {}
        self._pressure = Pressure(services, self._live.values)
        services.runtime.on_end = self.fill_pools
        config = services.config
        for image in (config.sandbox.image, *config.images):
            warm = config.pool_size if image == config.sandbox.image else 0
            self._pools[image] = Pool(
                services.runtime, config, image, clock=services.clock, metrics=services.metrics,
                random=services.random, warm=warm, pressure=self._pressure,
            )  # fmt: skip

        self._count_workers()

    def _count_workers(self) -> None:
        """Counted when somebody looks."""
        workers = self._services.metrics.workers
        workers.labels("starting").set_function(lambda: sum(pool.starting for pool in self._pools.values()))
        workers.labels("ready").set_function(lambda: self.workers_ready)
        workers.labels("claimed").set_function(lambda: sum(item.link is not None for item in self._live.values()))
        workers.labels("ending").set_function(lambda: self._services.runtime.ending)

    @property
    def images(self) -> tuple[str, ...]:
        """What `open` may name; the first is the default."""
        return tuple(self._pools)

    @property
    def live(self) -> tuple[LiveSession, ...]:
        """Those in hand now."""
        return tuple(self._live.values())

    @property
    def workers_ready(self) -> int:
        """Warm workers over all pools."""
        return sum(pool.ready for pool in self._pools.values())

    def fill_pools(self) -> None:
        """Start what is missing."""
        for pool in self._pools.values():
            pool.fill()

    async def open(
        self, policy: SessionPolicy, opened: OpenId | None = None, *, sessions_max: int | None = None
    ) -> LiveSession:
        """A new session, or the one that the same `open` opened before; a worker is already on its way when this
        returns. `sessions_max`: see `Store.create`. Raises `capacity`, `conflict`, `session_gone`, `quota_exceeded`."""
        self.make_room()
        random = self._services.random
        new_id = session_id(random(RANDOM_BYTES), random(RANDOM_BYTES))
        with refusals_counted(self._services.metrics):
            record = await self._services.store.create(new_id, policy, opened, sessions_max=sessions_max)
        if record.session == new_id:
            who = {"tenant": policy.tenant, "subject": policy.subject}
            _log.info("session opened", session_id=new_id, implicit=policy.implicit, **who)
        return self.begin(record)

    def begin(self, record: Record) -> LiveSession:
        """Take a session in hand that the store has just made, or had made before; a worker is on its way then."""
        visible_to(record, record.policy.tenant, record.session)
        session = self.in_hand(record.session) or self._take_in_hand(record)
        session.connect()
        return session

    async def find(self, session: str, tenant: str) -> LiveSession:
        """An open session of this tenant; raises `not_found`, `session_gone` or `capacity`."""
        if not is_session_id(session):
            raise WireError("not_found", "no such session")
        live = self.in_hand(session)
        if live is None or live.policy.tenant != tenant:
            # Another tenant's session is asked for in the store although it is in hand: the time would tell of it.
            record = visible_to(await self._services.store.read(session), tenant, session)
            # Whoever asked in the meantime may have it in hand by now.
            live = self.in_hand(session)
            if live is None:
                self.make_room()
                live = self._take_in_hand(record)
        visible_to(live.record, tenant, session)
        return live

    def in_hand(self, session: str) -> LiveSession | None:
        """The session of this id, if this front door has to do with it now."""
        live = self._live.get(session)
        return None if live is None or live.phase is Phase.ENDED else live

    def make_room(self) -> None:
        """Let go of one that nobody uses, if this front door has all that it may have; raises `capacity`."""
        if len(self._live) >= self._services.config.sessions_max and not self._let_go_of_idle():
            raise WireError("capacity", "this front door has all the sessions that it may have", retry_after_ms=5000)

    def _take_in_hand(self, record: Record) -> LiveSession:
        live = LiveSession(self._services, record, self)
        self._live[record.session] = live
        self._services.metrics.sessions.labels("live").set(len(self._live))
        return live

    async def take_worker(self, image: str, progress: Progress) -> WorkerAddress:
        """See `Workers`."""
        pool = self._pools.get(image)
        if pool is None:
            raise WireError("capacity", f"the image {image!r} is not offered any more")
        clock, began, warm = self._services.clock, self._services.clock.monotonic(), pool.ready > 0
        worker = await pool.take(progress)
        waited_s = clock.monotonic() - began
        self._services.metrics.session_start_seconds.labels("yes" if warm else "no").observe(waited_s)
        return worker

    def worker_in_use(self, image: str) -> None:
        """See `Workers`."""
        if (pool := self._pools.get(image)) is not None:
            pool.in_use()

    def let_go(self, session: LiveSession) -> None:
        """Nobody here needs it now; the store has it."""
        if self._live.get(session.id) is session:
            del self._live[session.id]
            self._services.metrics.sessions.labels("live").set(len(self._live))

    def _let_go_of_idle(self) -> bool:
        for session in self._live.values():
            unused = session.phase is Phase.NONE and not session.subscribers and not session.requests
            if unused or session.phase is Phase.ENDED:
                self.let_go(session)
                return True
        return False

    async def end(self, session: LiveSession, reason: str) -> None:
        """Close a session for good: its worker, its state, its record's life."""
        await self._services.store.end(session.id)
        worker = session.record.worker
        session.ended(reason)
        self.let_go(session)
        if worker is not None:
            await self._services.runtime.stop(worker.worker)
        _log.info("session closed", session_id=session.id, cause=reason)

    async def end_by_record(self, record: Record, reason: str) -> None:
        """Close one that may not be in hand here."""
        if record.status is Status.OPEN:
            live = self._live.get(record.session) or LiveSession(self._services, record, self)
            await self.end(live, reason)

    async def close(self) -> None:
        """Let go of everything; workers that outlive this process go on."""
        for session in self.live:
            session.let_go()
        self._live.clear()
        await asyncio.gather(*(pool.close() for pool in self._pools.values()))
