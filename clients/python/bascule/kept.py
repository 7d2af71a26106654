"""Results that went out before their commit, until it is known what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from bascule.errors import CLASS_OF, OutcomeUnknownError, RolledBackError
from bascule.events import Committed, RolledBack

Json = dict[str, Any]

KEPT_MAX: Final = 256
"""Results of one session whose commits are waited for; what is beyond counts as unknown, the oldest first."""


@dataclass(slots=True, eq=False)
class KeptResult:
    """An eval that was told and is not known to be committed. `settled` gets what only a commit says."""

    id: str
    payload: Json
    seq: int
    generation: int
    settled: asyncio.Future[Json]

    def fail(self, error: BaseException) -> None:
        """It will never be known to be committed."""
        if not self.settled.done():
            self.settled.set_exception(error)
            self.settled.exception()

    def succeed(self, said: Json) -> None:
        """It is."""
        if not self.settled.done():
            self.settled.set_result(said)


class KeptResults:
    """Of one session, by request id."""

    def __init__(self) -> None:
        self._waiting: dict[str, KeptResult] = {}

    def __iter__(self) -> Iterator[KeptResult]:
        return iter(tuple(self._waiting.values()))

    def get(self, id_: str) -> KeptResult | None:
        """The one of this request, as long as nothing is known."""
        return self._waiting.get(id_)

    def add(self, id_: str, payload: Json, seq: int, generation: int) -> None:
        """A result came as `kept`; once more changes nothing."""
        if id_ in self._waiting:
            return
        settled: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._waiting[id_] = KeptResult(id_, payload, seq, generation, settled)
        if len(self._waiting) > KEPT_MAX:
            oldest = next(iter(self._waiting.values()))
            self.fail(oldest.id, OutcomeUnknownError(f"over {KEPT_MAX} results wait for their commits"))

    def succeed(self, id_: str, said: Json) -> None:
        """It is committed, as `said`."""
        if (kept := self._waiting.pop(id_, None)) is not None:
            kept.succeed(said)

    def fail(self, id_: str, error: BaseException) -> None:
        """It is not, or nobody can tell."""
        if (kept := self._waiting.pop(id_, None)) is not None:
            kept.fail(error)

    def committed(self, event: Committed) -> None:
        """The server's word."""
        said = {"seq": event.seq, "state": "committed", "durable": event.durable, "etag": event.etag}
        self.succeed(event.target, said)

    def rolled_back(self, event: RolledBack) -> None:
        """All after that seq were undone."""
        for kept in self:
            if kept.seq > event.to:
                self.fail(kept.id, undone(event.cause))

    def fail_all(self, error: BaseException) -> None:
        """The connection is lost for good."""
        for kept in self:
            self.fail(kept.id, error)


def undone(cause: str) -> RolledBackError:
    """For a request whose worker was lost with it."""
    kind = CLASS_OF.get(cause, RolledBackError)
    kind = kind if issubclass(kind, RolledBackError) else RolledBackError
    code = cause if CLASS_OF.get(cause) is kind else None
    return kind("the worker was lost before the request was committed: it has no effect on the session", code=code)
