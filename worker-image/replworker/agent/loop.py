"""The agent's event loop: carries what happens to the core, and the core's effects to sockets and processes."""

from __future__ import annotations

import time
from functools import partial

from replwire.frames import FrameError
from replwire.hints import Final
from replworker.agent.child import Child
from replworker.agent.connection import Connection
from replworker.agent.core import Agent
from replworker.agent.far_side import FarSide
from replworker.agent.limits import LINKS_MAX
from replworker.agent.links import END, INTERPRETER, INTERRUPT, KILL, Link
from replworker.agent.rehearsal import rehearse
from replworker.agent.watches import WRITABLE, Watches
from replworker.rehearsals import IDLE_BEFORE_S
from replworker.sockets import Socket, accept

ACCEPTED_AT_ONCE_MAX: Final = 16

FLUSH_S: Final = 1.0
"""For the last words to links that read slowly."""


class Loop:
    """Of one worker; `run()` returns when it ends."""

    def __init__(self, agent: Agent, listener: Socket, child: Child) -> None:
        self._agent = agent
        self._listener = listener
        self._child = child
        self._watches = Watches()
        self._far_side = FarSide(agent, child, self._watches, self._carry_out)
        self._links: dict[int, tuple[Connection, Link]] = {}
        self._is_listening = False
        self._is_running = True
        self._rehearse_at: float | None = None
        """Unless somebody dials before."""

    def run(self) -> None:
        """Serve until the core says that the worker ends."""
        self._listener.setblocking(False)
        self._far_side.start()
        while self._is_running:
            due = self._due()
            events = self._watches.wait(-1 if due is None else max(0.0, due - time.monotonic()))
            self._watches.handle(events)
            if due is not None and (now := time.monotonic()) >= due:
                self._tick(now)
            self._after_events()
        self._flush()

    def _due(self) -> float | None:
        """When something has to be done though nothing happened."""
        due = self._agent.deadline(time.monotonic())
        for at in (self._far_side.due, self._rehearse_at):
            if at is not None:
                due = at if due is None else min(due, at)
        return due

    def _tick(self, now: float) -> None:
        if self._rehearse_at is not None and now >= self._rehearse_at:
            self._rehearse_at = None
            rehearse()
        self._far_side.tick(now)
        self._agent.tick(now)
        self._carry_out()

    def _after_events(self) -> None:
        is_held_up = self._agent.links.is_held_up
        if is_held_up != self._far_side.is_held_up:
            self._far_side.hold_up(is_held_up)
        if self._agent.is_ready and not self._is_listening:
            # Only now: whoever dials is answered by a worker that can run.
            self._is_listening = True
            self._rehearse_at = time.monotonic() + IDLE_BEFORE_S
            self._watches.watch(self._listener.fileno(), self._accept)

    # --- effects ------------------------------------------------------------------------------------------------

    def _carry_out(self) -> None:
        effects = self._agent.effects
        position = 0
        # Carrying one out may add further ones at the end (a link that turns out to be gone).
        while position < len(effects):
            destination, frame = effects[position]
            position += 1
            if destination >= 0:
                self._send_to_link(destination, frame)
            elif destination == INTERPRETER:
                self._far_side.send(frame or b"")
            else:
                self._command(destination)
        effects.clear()

    def _command(self, command: int) -> None:
        if command == INTERRUPT:
            self._child.interrupt()
        elif command == KILL:
            self._child.kill()
        elif command == END:
            self._is_running = False

    def _send_to_link(self, key: int, frame: bytes | None) -> None:
        found = self._links.get(key)
        if found is None:
            return
        connection, link = found
        try:
            if frame is None:
                self._hang_up(key)
                return
            connection.send(frame)
        except OSError:
            self._hang_up(key)
            return
        if connection.backlog_bytes:
            self._wait_for_room(key, connection, link)

    def _wait_for_room(self, key: int, connection: Connection, link: Link) -> None:
        if connection.backlog_bytes > self._agent.links.backlog_bytes_max:
            self._hang_up(key)
        elif not link.blocked:
            link.blocked = True
            self._watches.want_room(key, True)

    def _hang_up(self, key: int) -> None:
        connection, link = self._links.pop(key)
        self._watches.forget(key)
        connection.close()
        self._agent.link_closed(link, time.monotonic())

    # --- links --------------------------------------------------------------------------------------------------

    def _accept(self, mask: int) -> None:
        self._rehearse_at = None
        for _ in range(ACCEPTED_AT_ONCE_MAX):
            try:
                sock = accept(self._listener)
            except OSError:
                return
            if len(self._links) >= LINKS_MAX:
                sock.close()
                continue
            connection = Connection(sock)
            key = connection.fd
            link = self._agent.link_opened(key)
            self._links[key] = connection, link
            self._watches.watch(key, partial(self._link_ready, key, connection, link))
            self._carry_out()

    def _link_ready(self, key: int, connection: Connection, link: Link, mask: int) -> None:
        if mask & WRITABLE:
            self._link_writable(key, connection, link)
        if mask == WRITABLE or not link.open:
            return
        data = connection.receive()
        if data:
            self._take_frames(connection, link, data)
        elif data is not None:
            self._hang_up(key)
        self._carry_out()

    def _link_writable(self, key: int, connection: Connection, link: Link) -> None:
        try:
            connection.flush()
        except OSError:
            self._hang_up(key)
            self._carry_out()
            return
        link.stalled_since = None
        if not connection.backlog_bytes:
            link.blocked = False
            self._watches.want_room(key, False)

    def _take_frames(self, connection: Connection, link: Link, data: bytes) -> None:
        now, take = time.monotonic(), self._agent.link_frame
        reader = connection.reader
        reader.feed(data)
        try:
            for frame in reader:
                take(link, frame, now)
        except FrameError:
            self._agent.drop(link, now)

    # --- the end ------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        deadline = time.monotonic() + FLUSH_S
        for connection, _ in self._links.values():
            try:
                connection.send_rest(max(0.01, deadline - time.monotonic()))
            except OSError:
                continue
