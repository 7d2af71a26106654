"""What a campaign's client does: one eval after the other that notes its id (`effects.py`), until it is told to stop.

A client has one way to come back: it dials, attaches with the last cursor that it saw, and sends the same id again. It
goes on to the next id when it knows how this one ended.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

import aiohttp

from durability.connection import Connection, Envelope, Lost, Unanswered, stored
from durability.effects import LARGE_SETUP_CODE, SETUP_CODE, eval_code
from durability.history import Recorder
from durability.rules.finding import SETUP
from durability.rules.outcomes import NOT_STARTED, UNDONE

DIAL_AGAIN_S: Final = 0.05
RETRY_AGAIN_S: Final = 0.05
"""Between tries."""
KEPT_WAIT_S: Final = 0.5
"""How long a client waits for the `committed` of a kept result before it asks by the same id."""
ROAMING: Final = 0.1
"""Of the evals of a client that roams, so many are the first on another front door."""
UNKNOWN_MAX: Final = 40
"""Times that a client asks by an id whose outcome is unknown; then it goes on without knowing."""
TRIES_MAX: Final = 2000
"""Of one id; beyond it the campaign itself is broken."""

_AGAIN: Final = (NOT_STARTED - {"cancelled"}) | {"draining", "outcome_unknown"}
_MAY_GO_AGAIN: Final = UNDONE | {"session_regressed"}
"""Errors after which some clients send the id again and others don't."""

Url = Callable[[], str]


class Client:
    """One client of one session. `doors` are the front doors that it may dial, each by its address of now."""

    def __init__(
        self, name: str, session: str, doors: Sequence[Url], recorder: Recorder, random: Random, *, patience_s: float,
        silence_is_loss: bool,
    ) -> None:  # fmt: skip
        self.name, self.session = name, session
        self._doors, self._recorder, self._random = doors, recorder, random
        self._patience_s, self._silence_is_loss = patience_s, silence_is_loss
        self._door = random.randrange(len(doors))
        self._http: aiohttp.ClientSession | None = None
        self._connection: Connection | None = None
        self._connections = 0
        self._attaching = False
        self._asked = 0
        self._cursor: str | None = None
        self._committed: dict[str, asyncio.Event] = {}
        self._known = (0, "")
        """Seq and etag of the last commit that it was told of."""
        self._told_by = 0
        """The front door that told it."""
        self._sent = 0
        self.acknowledged = 0
        """So far."""
        self.reconnect_s: list[float] = []
        """How long each way back took: from the loss to the answer to `attach`."""
        self.think_s = 0.0
        """Up to so long a pause between two evals."""
        self.dying = 0.0
        """Share of the evals that kill their own interpreter."""
        self.roams = False
        """Whether it goes to another front door now and then, though the one it has serves it well."""

    async def __aenter__(self) -> Client:
        self._http = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._leave()
        assert self._http is not None
        await self._http.close()

    # --- evals --------------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """One id after the other."""
        while not stop.is_set():
            if self.roams and self._random.random() < ROAMING:
                self._door += 1
                await self._leave()
            self._sent += 1
            id_ = f"{self.name}-{self._sent}"
            await self.carry_through(id_, eval_code(self._random, id_, dying=self.dying))
            if self.think_s:
                await asyncio.sleep(self._random.uniform(0, self.think_s))

    async def carry_through(self, id_: str, code: str) -> Envelope:
        """Send an id until its end is known: the outcome of the last time."""
        unknown = 0
        for _ in range(TRIES_MAX):
            outcome = await self._attempt(id_, code)
            unknown += outcome.get("code") == "outcome_unknown"
            if outcome["state"] == "committed":
                self.acknowledged += 1
                return outcome
            if outcome["state"] == "kept":
                if await self._is_committed_later(id_):
                    self.acknowledged += 1
                    return outcome
            elif outcome["state"] == "lost":
                await self._leave()
            elif outcome.get("code") in _AGAIN and unknown < UNKNOWN_MAX:
                await asyncio.sleep(RETRY_AGAIN_S)
            elif outcome.get("code") not in _MAY_GO_AGAIN or self._random.random() < 0.5:
                return outcome
        raise AssertionError(f"{id_} was sent {TRIES_MAX} times")

    async def _attempt(self, id_: str, code: str) -> Envelope:
        connection = await self._connected()
        begin, number = time.monotonic_ns(), self._connections
        payload = {"code": code, "stream": True}
        try:
            outcome = _outcome_of(await connection.ask(id_, "eval", payload, self._patience_s))
        except Lost:
            outcome = {"state": "lost"}
        except Unanswered:
            outcome = {"state": "lost" if self._silence_is_loss else "unanswered"}
            await self._leave()
        self._note(outcome)
        self._recorder.add(
            "operation", client=self.name, session=self.session, connection=number, id=id_, begin=begin,
            end=time.monotonic_ns(), outcome=outcome,
        )  # fmt: skip
        return outcome

    async def _is_committed_later(self, id_: str) -> bool:
        event = self._committed.setdefault(id_, asyncio.Event())
        try:
            async with asyncio.timeout(KEPT_WAIT_S):
                await event.wait()
        except TimeoutError:
            return False
        return True

    # --- connections --------------------------------------------------------------------------------------------

    async def _connected(self) -> Connection:
        """Attached, however long it takes: the driver has a time-out for all of it."""
        if self._connection is not None and self._connection.is_up:
            return self._connection
        began = time.monotonic()
        while True:
            await self._leave()
            try:
                self._connection = await self._attached()
            except (Lost, Unanswered):
                self._door += 1
                await asyncio.sleep(DIAL_AGAIN_S)
                continue
            self.reconnect_s.append(time.monotonic() - began)
            return self._connection

    async def _attached(self) -> Connection:
        assert self._http is not None
        self._connections += 1
        number = self._connections
        connection = Connection(self._http, lambda said: self._heard(number, said))
        self._connection = connection
        await connection.dial(self._doors[self._door % len(self._doors)]())
        self._attaching = True
        wanted: dict[str, Any] = {"session": self.session}
        if self._cursor is not None:
            wanted["cursor"] = self._cursor
        said = await connection.ask(f"{self.name}-attach-{number}", "attach", wanted, self._patience_s)
        self._attaching = False
        if said["type"] == "error":
            raise Lost(said["payload"]["code"])
        if said["payload"]["seq"] <= self._known[0] and self._told_by != self._door % len(self._doors):
            await self._check_history(number)
        return connection

    async def _check_history(self, connection: int) -> None:
        """Whether the store has what another front door told us of. This one was not there and cannot know; so the
        client asks for itself, as the SDK does. Of what a front door has told itself, it has to tell the end, too."""
        assert self._http is not None
        found = await stored(self._http, self._doors[self._door % len(self._doors)](), self.session)
        if found is None:
            raise Lost("it does not say what the store has")
        if found[0] < self._known[0] or (found[0] == self._known[0] and found != self._known):
            self._known = (0, "")
            self._record_event(connection, "regressed", {"to": found[0], "cause": "session_regressed"})

    def _note(self, said: Envelope) -> None:
        """What is told of a commit, or that commits are gone."""
        if "session_regressed" in (said.get("code"), said.get("cause")):
            self._known = (0, "")
        elif said.get("etag") and said["seq"] > self._known[0]:
            self._known, self._told_by = (said["seq"], said["etag"]), self._door % len(self._doors)

    async def _leave(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.hang_up()

    def _heard(self, connection: int, said: Envelope) -> None:
        type_, payload = said["type"], said["payload"]
        more: dict[str, Any] = {}
        if type_ == "committed":
            more = {name: payload[name] for name in ("target", "seq", "etag", "durable")}
            self._committed.setdefault(payload["target"], asyncio.Event()).set()
            self._note(more)
        elif type_ == "rolled_back":
            more = {"to": payload["to"], "cause": payload.get("cause"), "attaching": self._attaching}
            self._note(more)
        elif type_ == "gap":
            more = {"from": payload["from"]}
        elif type_ in ("result", "error", "reply", "pong"):
            type_, more = "answer", {"id": said.get("id")}
        if more:
            self._record_event(connection, type_, more)
        if said.get("cursor"):
            self._cursor = said["cursor"]
            self._record_event(connection, "cursor", {"cursor": said["cursor"]})

    def _record_event(self, connection: int, type_: str, more: Envelope) -> None:
        self._recorder.add(
            "event", client=self.name, session=self.session, connection=connection, at=time.monotonic_ns(), type=type_,
            **more,
        )  # fmt: skip

    async def open(self, *, large: bool = False) -> str:
        """A new session with an empty list, and with a large array or without; its id."""
        assert self._http is not None
        self._connections += 1
        self._connection = Connection(self._http, lambda said: self._heard(1, said))
        await self._connection.dial(self._doors[0]())
        said = await self._connection.ask(f"open-{self.name}-{time.time_ns():x}", "open", {}, 60.0)
        if said["type"] == "error":
            raise AssertionError(f"no session could be opened: {said['payload']}")
        self.session = said["payload"]["session"]
        outcome = await self.carry_through(f"{SETUP}-{self.name}", LARGE_SETUP_CODE if large else SETUP_CODE)
        # Kept, on a slow machine: and then it was committed, or this would not have returned.
        assert outcome["state"] in ("committed", "kept") and "raised" not in outcome, outcome
        return self.session

    async def ask(self, type_: str, payload: Envelope) -> Envelope:
        """The payload of a reply, after the faults; raises `Lost` or `Unanswered`."""
        connection = await self._connected()
        self._asked += 1
        said = await connection.ask(f"{self.name}-{type_}-{self._asked}", type_, payload, self._patience_s)
        assert said["type"] == "reply", said
        found: Envelope = said["payload"]
        return found


def _outcome_of(said: Envelope) -> Envelope:
    payload = said["payload"]
    if said["type"] == "error":
        return {"state": "error", "code": payload["code"], "message": payload["message"]}
    outcome = {name: payload.get(name) for name in ("state", "seq", "etag", "durable", "output")}
    if payload["error"]:
        outcome["raised"] = payload["error"]["name"]
    return outcome
