"""Each promise says no to a state that breaks it, and only that promise does."""

from __future__ import annotations

import pytest

from model.promises import OF_STATES, OF_STEPS, first_broken, is_answered
from model.rules import Entry, Record
from model.setup import Setup
from model.state import Client, Front, State, Waits, Worker, initial
from model.steps import Step

SETUP = Setup()
ONE, TWO = Entry(1, 0, 1), Entry(2, 0, 1)
RECORD = Record(generation=1, nonce=1, worker=1, journal=(ONE,), etag=(ONE,), state=(ONE,))
GOOD = initial(SETUP)._replace(
    record=RECORD,
    workers=(Worker(1, True, (ONE,), 1, 1, queue=(2,), askers=(0, 1)),),
    clients=(Client(sent=1, acked=1, starts=1), Client(sent=1)),
)

BROKEN_STATES = {
    "durable": GOOD._replace(clients=(Client(sent=1, acked=2, starts=1), Client())),
    "all or nothing": GOOD._replace(record=RECORD._replace(state=())),
    "at most once": GOOD._replace(record=RECORD._replace(journal=(ONE, ONE), etag=(ONE, ONE), state=(ONE, ONE))),
    "one chain": GOOD._replace(record=RECORD._replace(etag=(TWO,))),
    "honest roll-back": GOOD._replace(clients=(Client(sent=1, lost=1, starts=1), Client())),
    "never twice on our own": GOOD._replace(clients=(Client(sent=1, acked=1, starts=2), Client())),
    "published is current": GOOD._replace(record=RECORD._replace(nonce=2)),
}
ANYTHING = Step("wake", 1)


def with_journal(*entries: Entry) -> State:
    """The good state, with another history."""
    return GOOD._replace(record=RECORD._replace(journal=entries, etag=entries, state=entries))


BROKEN_STEPS = {
    "a part of the history goes": ("single history", Step("late"), with_journal()),
    "another history": ("single history", Step("late"), with_journal(TWO)),
    "a run of an older worker": ("single history", Step("late"), with_journal(ONE, Entry(2, 0, 0))),
    "an id that this worker ran": ("not started again", Step("start", 1, 1), GOOD),
}


def test_a_good_state_breaks_nothing() -> None:
    """Nor does a step that a worker may take."""
    assert first_broken(SETUP, GOOD, Step("start", 1, 2), GOOD) == ""
    assert first_broken(SETUP, with_journal(), Step("commit", 1, 1), GOOD) == ""


def test_each_promise_of_states_has_a_state_that_breaks_it() -> None:
    """None is checked in vain."""
    assert set(BROKEN_STATES) == set(OF_STATES)
    assert {promise for promise, _, _ in BROKEN_STEPS.values()} == set(OF_STEPS)


@pytest.mark.parametrize("promise", BROKEN_STATES)
def test_a_state_breaks_its_promise(promise: str) -> None:
    """And no other one."""
    state = BROKEN_STATES[promise]
    broken = [name for name, is_kept in OF_STATES.items() if not is_kept(SETUP, state)]
    assert broken == [promise]
    assert first_broken(SETUP, state, ANYTHING, state) == promise
    assert first_broken(SETUP, state, ANYTHING, state, is_new=False) == ""


@pytest.mark.parametrize("case", BROKEN_STEPS)
def test_a_step_breaks_its_promise(case: str) -> None:
    """History that shrinks, changes or comes from the past; an id that is started again."""
    promise, step, after = BROKEN_STEPS[case]
    assert first_broken(SETUP, GOOD, step, after) == promise


def test_a_store_that_went_back_is_no_step_of_ours() -> None:
    """Its clients hear of it instead."""
    gone = with_journal()._replace(excused=1)
    assert first_broken(SETUP, GOOD, Step("store_back"), gone) == ""
    assert not is_answered(gone)


def test_who_waits_is_not_answered() -> None:
    """Unless it waits at a front door that is stopped; what that one held is sent again."""
    waiting = Front(waiting=(Waits.DISPATCHED, Waits.NOT))
    state = GOOD._replace(fronts=(waiting, GOOD.fronts[1]))
    assert is_answered(GOOD)
    assert not is_answered(state)
    assert is_answered(state._replace(fronts=(waiting._replace(paused=True), GOOD.fronts[1])))
    assert not is_answered(GOOD._replace(orphans=1))
