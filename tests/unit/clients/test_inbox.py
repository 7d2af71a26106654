"""What comes in: each event once and in order, answers to whoever asked, and what makes a connection useless."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.errors import BasculeError, ConflictError, OutcomeUnknownError, RolledBackError, WorkerDiedError
from bascule.events import Committed, Event, Gap, RolledBack, Status, Stdout
from bascule.inbox import Inbox, Lost
from bascule.kept import KEPT_MAX
from bascule.requests import Budget, Pending, Requests
from replwire.cursors import Cursor


class Desk:
    """An inbox with one streaming eval that waits."""

    def __init__(self) -> None:
        self.requests = Requests(Budget(1000))
        self.heard: list[Event] = []
        self.inbox = Inbox(self.requests, self.heard.append)
        self.eval = self.asked("eval", "e1", events=True)

    def asked(self, type_: str, id_: str, *, events: bool = False, **payload) -> Pending:
        pending = self.requests.new(type_, payload, id_=id_, events=events)
        pending.sent = True
        return pending

    def comes(self, type_: str, payload: dict | None = None, **more) -> None:
        self.inbox.received(json.dumps({"type": type_, "payload": payload or {}, "timestamp": 1, **more}))

    def text(self, number: int, generation: int = 1) -> None:
        said = {"name": "stdout", "text": str(number)}
        self.comes("stream", said, id="e1", cursor=f"{generation}.{number}")

    @property
    def texts(self) -> list[str]:
        return [event.text for event in self.heard if isinstance(event, Stdout)]


@pytest.fixture
async def desk() -> Desk:
    """A new one for each test."""
    return Desk()


async def test_an_event_that_was_seen_is_dropped(desk: Desk):
    """Replays overlap with what came before; the cursor tells."""
    for number in (1, 2, 1, 2, 3):
        desk.text(number)
    assert desk.texts == ["1", "2", "3"]
    assert [event.text for event in await desk.eval.mailbox.take()] == ["1", "2", "3"]
    assert desk.inbox.cursor == Cursor(1, 3)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=20))
def test_however_replays_overlap_each_event_is_passed_on_once(replays: list[tuple[int, int]]):
    """A replay begins at or before what was seen, and goes on for a while."""
    heard: list[Event] = []
    inbox, seen = Inbox(Requests(Budget(1)), heard.append), 0
    for back, forward in replays:
        for number in range(max(1, seen - back + 1), seen + forward + 1):
            said = {"name": "stdout", "text": str(number)}
            inbox.received(json.dumps({"type": "stream", "payload": said, "id": "e", "cursor": f"1.{number}"}))
        seen += forward
    assert [event.text for event in heard if isinstance(event, Stdout)] == [str(n) for n in range(1, seen + 1)]


async def test_a_hole_makes_the_connection_useless_and_nothing_is_skipped(desk: Desk):
    """The next `attach` asks for what is missing."""
    desk.text(1)
    with pytest.raises(Lost, match="missing"):
        desk.text(3)
    assert (desk.texts, desk.inbox.cursor) == (["1"], Cursor(1, 1))


async def test_a_hole_that_comes_back_is_told_as_a_gap(desk: Desk):
    """Asking once more did not help: go on, and say so."""
    desk.text(1)
    for _ in range(2):
        try:
            desk.text(4)
        except Lost:
            continue
    assert desk.texts == ["1", "4"]
    assert [event for event in desk.heard if isinstance(event, Gap)] == [Gap("1.1", "1.3")]


async def test_a_gap_in_mid_connection_is_asked_for_again_first(desk: Desk):
    """The worker may still have what this connection's server missed."""
    desk.text(1)
    with pytest.raises(Lost):
        desk.comes("gap", {"from": "1.1", "to": "1.5"})
    assert desk.inbox.cursor == Cursor(1, 1)


async def test_a_gap_while_catching_up_is_final_and_told_to_the_eval(desk: Desk):
    """Then nobody has it any more."""
    desk.text(1)
    desk.inbox.catching_up = True
    desk.comes("gap", {"from": "1.1", "to": "1.5"})
    desk.text(6)
    assert [type(event) for event in await desk.eval.mailbox.take()] == [Stdout, Gap, Stdout]


async def test_another_generation_begins_anew(desk: Desk):
    """Its numbers start again, and are no hole."""
    desk.text(9)
    desk.comes("rolled_back", {"to": 3, "cause": "memory_limit", "generation": 2}, cursor="2.0")
    desk.text(1, generation=2)
    assert desk.texts == ["9", "1"]
    assert (desk.inbox.generation, desk.inbox.undone_by) == (2, "memory_limit")
    assert any(isinstance(event, RolledBack) for event in await desk.eval.mailbox.take())


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"type":"stream","payload":5}', '{"type":"gap","payload":{}}', '{"type":"rolled_back","payload":{}}'],
)
async def test_what_is_no_message_makes_the_connection_useless(desk: Desk, text: str):
    """No part of it is believed."""
    with pytest.raises(Lost):
        desk.inbox.received(text)


async def test_types_and_ids_that_nobody_knows_are_ignored(desk: Desk):
    """A newer server may say more, and other clients share the session."""
    desk.comes("sunrise", {"at": 6})
    desk.comes("reply", {}, id="nobody")
    desk.comes("stream", {"name": "stdout", "text": "another client's"}, id="theirs", cursor="1.1")
    assert desk.texts == ["another client's"]
    assert not desk.eval.answer.done()


async def test_a_listener_that_fails_costs_nothing(caplog: pytest.LogCaptureFixture):
    """It is logged."""
    inbox = Inbox(Requests(Budget(1)), lambda event: 1 / 0)
    inbox.received('{"type":"status","payload":{"status":"ready"}}')
    assert "on_event failed" in caplog.text


async def test_an_error_becomes_its_exception_once(desk: Desk):
    """And the events end."""
    desk.comes("error", {"code": "conflict", "message": "no"}, id="e1")
    with pytest.raises(ConflictError):
        await desk.eval.answer
    assert await desk.eval.mailbox.take() == []
    assert desk.requests.get("e1") is None


async def test_a_front_door_that_drains_is_left_and_the_request_kept(desk: Desk):
    """The next one answers it."""
    with pytest.raises(Lost) as lost:
        desk.comes("error", {"code": "draining", "message": "bye", "retry_after_ms": 500}, id="e1")
    assert lost.value.retry_after == 0.5
    assert desk.requests.get("e1") is desk.eval and not desk.eval.answer.done()
    assert not desk.eval.sent


async def test_a_front_door_that_drains_is_not_left_while_it_owes_an_answer(desk: Desk):
    """What was refused waits; what runs is heard to its end."""
    desk.eval.sent = True
    refused = desk.asked("eval", "e2", code="2")
    refused.sent = True
    desk.comes("error", {"code": "draining", "message": "bye"}, id="e2")
    assert (desk.eval.sent, refused.sent) == (True, False)
    desk.comes("result", {"output": "1", "seq": 1, "state": "committed", "etag": "a"}, id="e1")
    assert (await desk.eval.answer)["output"] == "1"


@pytest.mark.parametrize(("repeated", "dispatched"), [(True, False), (False, True)])
async def test_what_may_have_begun_is_not_sent_as_if_it_had_not(desk: Desk, repeated: bool, dispatched: bool):
    """Another front door had it before, or this one says that its worker goes on with it."""
    desk.eval.sent, desk.eval.repeated = True, repeated
    desk.comes("error", {"code": "draining", "message": "bye", "dispatched": dispatched}, id="e1")
    assert desk.eval.sent
    desk.comes("going_away", {"retry_after_ms": 500})
    assert desk.eval.sent


async def test_what_has_no_answer_when_a_front_door_goes_was_not_begun(desk: Desk):
    """It is sent to the next one as if for the first time."""
    desk.eval.sent = True
    desk.comes("going_away", {"retry_after_ms": 500})
    assert not desk.eval.sent and desk.inbox.retry_after == 0.5


async def test_an_input_that_arrived_the_first_time_is_delivered(desk: Desk):
    """Its repetition finds nothing that waits, and that is well."""
    repeated = desk.asked("input", "i1", target="e1", text="x")
    repeated.repeated = True
    desk.comes("error", {"code": "not_found", "message": "nothing waits"}, id="i1")
    assert await repeated.answer == {"status": "delivered"}


# --- results that are not committed yet -----------------------------------------------------------------------------


def kept(desk: Desk, seq: int = 5):
    """The eval ends with a result that is not committed; what settles it."""
    desk.comes("result", {"output": "1", "seq": seq, "state": "kept", "durable": "none"}, id="e1")
    return desk.inbox.kept.get("e1").settled


async def test_a_kept_result_is_settled_by_its_commit(desk: Desk):
    """With what only a commit says."""
    settled = kept(desk)
    desk.comes("committed", {"target": "e1", "seq": 5, "etag": "x5", "durable": "fsync"})
    assert (await settled)["durable"] == "fsync"
    assert (desk.inbox.seq, desk.inbox.etag) == (5, "x5")
    assert desk.heard[-1] == Committed("e1", 5, "x5", "fsync")


async def test_a_kept_result_is_settled_by_a_roll_back_before_it(desk: Desk):
    """It never happened."""
    settled = kept(desk)
    desk.comes("rolled_back", {"to": 4, "cause": "worker_died", "generation": 2}, cursor="2.0")
    with pytest.raises(WorkerDiedError):
        await settled


async def test_a_kept_result_outlives_a_roll_back_behind_it(desk: Desk):
    """Only what came after `to` is undone; an unknown cause is a roll-back all the same."""
    settled = kept(desk)
    desk.comes("rolled_back", {"to": 5, "cause": "a_cause_of_the_future", "generation": 2}, cursor="2.0")
    assert not settled.done()
    desk.comes("rolled_back", {"to": 1, "cause": "a_cause_of_the_future", "generation": 3}, cursor="3.0")
    with pytest.raises(RolledBackError) as caught:
        await settled
    assert caught.value.code == "rolled_back"


async def test_a_session_without_commits_waits_for_none(desk: Desk):
    """`durability: none` keeps nothing."""
    desk.inbox.keeps = False
    desk.comes("result", {"seq": 1, "state": "kept"}, id="e1")
    assert desk.inbox.kept.get("e1") is None


async def test_beyond_the_limit_the_oldest_kept_result_is_unknown(desk: Desk):
    """It is told, and memory is bounded."""
    settled = kept(desk)
    for number in range(KEPT_MAX):
        desk.inbox.kept.add(f"more-{number}", {}, 6 + number, 1)
    with pytest.raises(OutcomeUnknownError):
        await settled


async def test_status_is_for_the_listener_only(desk: Desk):
    """No eval hears of it."""
    desk.comes("status", {"status": "starting", "position": 3})
    assert desk.heard == [Status("starting", position=3)]


# --- room ------------------------------------------------------------------------------------------------------------


async def test_unread_output_stops_the_receiving_until_it_is_read_or_something_is_urgent():
    """An interrupt must get through while its output waits."""
    budget = Budget(10)
    requests = Requests(budget)
    pending = requests.new("eval", {}, events=True)
    pending.mailbox.put(Stdout("x"), 11)
    assert not budget.has_room
    urgent = requests.new("interrupt", {})
    assert budget.has_room
    requests.forget(urgent)
    assert not budget.has_room
    await pending.mailbox.take()
    assert budget.has_room


async def test_what_nobody_reads_takes_no_room():
    """Neither what was there nor what comes."""
    budget = Budget(10)
    mailbox = Requests(budget).new("eval", {}, events=True).mailbox
    mailbox.put(Stdout("x"), 11)
    mailbox.abandon()
    mailbox.put(Stdout("x"), 11)
    assert budget.has_room


async def test_an_open_id_cannot_be_used_again():
    """Two readers of one answer would take it from each other."""
    requests = Requests(Budget(1))
    requests.new("eval", {}, id_="a")
    with pytest.raises(BasculeError, match="open already"):
        requests.new("eval", {}, id_="a")
