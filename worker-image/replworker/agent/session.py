"""What the agent knows of the session that claimed the worker, and what every part of it shares."""

from __future__ import annotations

from replworker.agent.ids import IdTable
from replworker.agent.limits import LINK_BACKLOG_BYTES_MAX, limits_of
from replworker.agent.links import Effect, Links
from replworker.agent.ring import EventLog
from replworker.agent.text import Output


class Session:
    """One per worker, once."""

    def __init__(self) -> None:
        self.effects: list[Effect] = []
        self.links = Links(self.effects)
        self.events = EventLog(self.links)
        self.late = Output(self.events.publish_apart)
        """Of processes that earlier evals left running."""
        self.output = Output(self.events.publish, self.late)
        self.ids = IdTable()
        self.limits: dict[str, int] = {}
        self.keeps_state = True
        """False with durability `none`: no checkpoint is asked for, and an outcome is forgotten once it is sent."""
        self.may_be_taken_over = False
        """Whether a shadow may be the interpreter when that dies: a front door says that evals can't act outside."""
        self.seq = 0
        """Of the last numbered request that was executed."""
        self.committed = 0
        """Up to this seq a front door has confirmed."""
        self.receipt = b""
        """What it said to prove that; opaque here, and for the other front doors."""

    def limit(self, given: object) -> None:
        """The limits in force; raises `ValueError`."""
        limits = self.limits = limits_of(given)
        self.links.window_bytes = limits["link_window_bytes"]
        self.links.backlog_bytes_max = max(LINK_BACKLOG_BYTES_MAX, 2 * limits["state_bytes_max"])
        self.events.ring.limit(limits["events_kept_max"], limits["event_bytes_kept_max"])
        self.output.limit(limits["output_bytes_max"], limits["text_bytes_max"])
