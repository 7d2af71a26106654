"""Which requests are sent again after a reconnect, and which have ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bascule import resuming
from bascule.errors import BasculeError, ForbiddenError, NotFoundError, OutcomeUnknownError, WorkerDiedError
from bascule.inbox import Inbox
from bascule.requests import Budget, Pending, Requests
from bascule.resuming import Resumption
from replwire.cursors import Cursor

GENERATION = 4


class Server:
    """What the session has: ids in its journal, ids that wait or run."""

    def __init__(self) -> None:
        self.journal: list[str] = []
        self.live: dict[str, str] = {}
        self.late: list[str] = []
        """Ids whose commits arrive with the second look into the journal."""
        self.refuses_history = False
        self.asked: list[str] = []

    async def call(self, type_: str, payload: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(type_)
        if type_ == "cancel":
            if payload["target"] not in self.live:
                raise NotFoundError("nothing of that id waits")
            return {"status": self.live[payload["target"]]}
        if self.refuses_history:
            raise ForbiddenError("no")
        found = self._page(payload["from"])
        self.journal, self.late = self.journal + self.late, []
        return found

    def _page(self, first: int) -> dict[str, Any]:
        ids = self.journal[first - 1 : first + 99]
        return {"entries": [{"id": id_, "seq": first + n} for n, id_ in enumerate(ids)], "seq": len(self.journal)}


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks into the journal follow each other at once."""
    monkeypatch.setattr(resuming, "LOOKS", (0.0, 0.0))


class Table:
    """A client that comes back to `server`."""

    def __init__(self) -> None:
        self.server = Server()
        self.requests = Requests(Budget(1))
        self.inbox = Inbox(self.requests, None)

    def sent(self, type_: str, id_: str, generation: int, **payload) -> Pending:
        pending = self.requests.new(type_, payload, id_=id_)
        pending.sent, pending.generation = True, generation
        return pending

    async def decide(self) -> list[str]:
        """Ids that are to be sent again."""
        call: Callable[..., Awaitable[dict[str, Any]]] = self.server.call
        await Resumption(call, self.requests, self.inbox).decide(GENERATION)
        return [pending.id for pending in self.requests if not pending.sent]


@pytest.fixture
async def table() -> Table:
    """A new one for each test."""
    return Table()


async def test_with_the_same_worker_every_id_is_sent_again_unasked(table: Table):
    """It knows each id that it has got."""
    table.sent("eval", "e", GENERATION, code="1")
    table.sent("files", "w", GENERATION, op="write", path="a")
    table.sent("complete", "c", GENERATION, code="a")
    assert await table.decide() == ["e", "w", "c"]
    assert table.server.asked == []


async def test_with_another_worker_only_questions_are_sent_again_unasked(table: Table):
    """They change nothing."""
    table.sent("variables", "v", 3)
    table.sent("files", "r", 3, op="read", path="a")
    assert await table.decide() == ["v", "r"]
    assert table.server.asked == []


async def test_an_id_in_the_journal_is_asked_for_its_outcome(table: Table):
    """However many entries are before it."""
    table.server.journal = [f"other-{n}" for n in range(150)] + ["e"]
    table.sent("eval", "e", 3, code="1")
    assert await table.decide() == ["e"]
    assert table.server.asked == ["history", "history"]


@pytest.mark.parametrize("status", ["running", "cancelled"])
async def test_an_id_that_the_new_worker_has_is_joined(table: Table, status: str):
    """It was sent while the worker was replaced."""
    table.server.live = {"e": status}
    table.sent("eval", "e", 3, code="1")
    assert await table.decide() == ["e"]


async def test_a_commit_that_is_on_its_way_is_waited_for(table: Table):
    """The second look finds it."""
    table.server.late = ["e"]
    table.sent("eval", "e", 3, code="1")
    assert await table.decide() == ["e"]


async def test_what_went_with_the_old_worker_is_not_run_again(table: Table):
    """At most once: the caller decides."""
    lost = table.sent("eval", "e", 3, code="1")
    assert await table.decide() == []
    with pytest.raises(WorkerDiedError):
        await lost.answer
    assert table.requests.get("e") is None


async def test_without_the_right_to_look_the_outcome_is_unknown(table: Table):
    """A token without the scope `observe`."""
    table.server.refuses_history = True
    lost = table.sent("eval", "e", 3, code="1")
    assert await table.decide() == []
    with pytest.raises(OutcomeUnknownError):
        await lost.answer


async def test_a_fault_on_the_way_is_for_the_next_try(table: Table):
    """Nothing is decided by a store that does not answer."""

    async def busy(type_: str, payload: dict[str, Any]) -> dict[str, Any]:
        raise BasculeError("not now", code="store_unavailable")

    lost = table.sent("eval", "e", 3, code="1")
    with pytest.raises(BasculeError):
        await Resumption(busy, table.requests, table.inbox).decide(GENERATION)
    assert lost.sent and not lost.answer.done()


async def test_an_interrupt_of_whatever_runs_is_not_repeated(table: Table):
    """It would hit another eval."""
    aimed, blind = table.sent("interrupt", "a", GENERATION, target="e"), table.sent("interrupt", "b", GENERATION)
    assert await table.decide() == ["a"]
    with pytest.raises(OutcomeUnknownError):
        await blind.answer
    assert not aimed.answer.done()


@pytest.mark.parametrize(("seen", "again"), [(Cursor(4, 7), True), (Cursor(4, 8), False)])
async def test_an_input_is_repeated_only_while_its_question_stands(table: Table, seen: Cursor, again: bool):
    """The second `input()` must not get the answer to the first."""
    asking = table.sent("eval", "e", GENERATION, code="input()")
    asking.seen = seen
    answer = table.sent("input", "i", GENERATION, target="e", text="x")
    answer.asked_at = Cursor(4, 7)
    assert ("i" in await table.decide()) is again
    assert answer.answer.done() is not again


async def test_kept_results_are_asked_for_by_their_ids(table: Table):
    """The word of their commits may have been lost."""
    table.inbox.kept.add("k", {"code": "1"}, 9, GENERATION)
    assert await table.decide() == ["k"]
    assert table.requests.get("k").payload == {"code": "1"}


async def test_kept_results_beyond_what_may_wait_are_unknown(table: Table):
    """The newest are asked for."""
    for number in range(resuming.RECALLED_MAX + 1):
        table.inbox.kept.add(f"k{number}", {"code": "1"}, number + 1, GENERATION)
    oldest = table.inbox.kept.get("k0").settled
    assert await table.decide() == [f"k{number}" for number in range(1, resuming.RECALLED_MAX + 1)]
    with pytest.raises(OutcomeUnknownError):
        await oldest
