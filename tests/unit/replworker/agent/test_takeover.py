"""The agent's decisions when the interpreter has died and a shadow of it may take over."""

from __future__ import annotations

import json

import pytest

from replwire.frames import COUNT, NONE, SEQ, EventKind, Flag, Kind
from support.agent_stage import Front, Stage, attached, claimed
from support.worker_client import Outcome

READY = b'{"unsaved": {"f": "an open file"}}'


def forked(stage: Stage, front: Front, id_: str, seq: int, *, confirm: bool = True) -> None:
    """An eval whose checkpoint came from a forked child."""
    front.request(id_)
    stage.interpreter(Kind.DONE, b'{"output": null}', b"", b"", flags=Flag.STATE_FOLLOWS)
    stage.snapshot_child(Kind.STATE, SEQ.pack(seq), b"manifest", b"", b"{}")
    if confirm:
        front.confirm(seq, id_)


@pytest.fixture
def at_one() -> tuple[Stage, Front]:
    """The state of seq 1 came from a forked child."""
    stage, front = claimed(takeover=True)
    forked(stage, front, "first", 1)
    front.frames.clear()
    stage.runs()
    return stage, front


def fall(stage: Stage) -> None:
    """It is killed, and its shadow wakes."""
    stage.agent.halt()
    stage.agent.fell(9, None)


def test_which_shadow_may(at_one):
    """The one of the last outcome, when its checkpoint is here; none after one that was taken in place."""
    stage, front = at_one
    assert stage.agent.shadow_seq == 1
    front.request("second")
    assert stage.agent.shadow_seq == 1
    stage.interpreter(Kind.DONE, b'{"output": null}', b"", b"", flags=Flag.STATE_FOLLOWS)
    assert (stage.agent.shadow_seq, stage.agent.awaits_shadow) == (None, True)
    stage.snapshot_child(Kind.STATE, SEQ.pack(2), b"m", b"", b"{}")
    assert stage.agent.shadow_seq == 2
    front.request("third")
    stage.done()
    assert (stage.agent.shadow_seq, stage.agent.awaits_shadow) == (None, False)


def test_none_may_where_evals_act_outside():
    """The claim does not say that it may."""
    stage, front = claimed()
    forked(stage, front, "first", 1)
    assert stage.agent.shadow_seq is None


def test_a_checkpoint_that_came_ahead_of_its_outcome_is_not_taken_over(at_one):
    """Of the eval that runs: it is not the last outcome yet."""
    stage, front = at_one
    front.request("second")
    stage.snapshot_child(Kind.STATE, SEQ.pack(2), b"m", b"", b"{}")
    assert stage.agent.shadow_seq is None


def test_what_ran_ends_and_what_waits_begins(at_one):
    """The cause of the death, the seq of the state, and that it had begun; then the others are told."""
    stage, front = at_one
    other = attached(stage)
    ref = front.request("second")
    waiting = front.request("third")
    joined = other.request("second")
    stage.runs()
    fall(stage)
    assert not front.take(Kind.REFUSED, Kind.TAKEN_OVER)

    stage.interpreter(Kind.READY, READY)
    said = {"code": "worker_crashed", "message": "killed by signal 9", "seq": 1, "began": 1}
    assert front.said(Kind.REFUSED) == [(ref, said)]
    assert other.said(Kind.REFUSED) == [(joined, said)]
    for link in (front, other):
        ((_, word),) = link.said(Kind.TAKEN_OVER)
        assert (word["signal"], word["seq"], word["unsaved"]) == (9, 1, {"f": "an open file"})
        ((number, seq, kind, id_, body),) = link.events()
        assert (number, seq, kind, id_) == (1, NONE, EventKind.ROLLED_BACK, b"")
        assert json.loads(body) == {"to": 1, "cause": "worker_crashed"}
    assert stage.runs() == [(2, b"third")]
    stage.done()
    assert [(item.ref, item.seq, item.first_event) for item in front.outcomes()] == [(waiting, 2, 1)]


def test_text_and_checkpoint_of_what_did_not_happen_are_dropped(at_one):
    """The next run of the same number has its own."""
    stage, front = at_one
    front.request("second")
    stage.write(0, b"half \xc3")
    stage.interpreter(Kind.CHUNK, b"id", b"data")
    stage.snapshot_child(Kind.CHUNK, b"id", b"data")
    stage.snapshot_child(Kind.STATE, SEQ.pack(2), b"of the dead", b"", b"{}")
    fall(stage)
    stage.interpreter(Kind.READY, READY)
    front.frames.clear()

    front.request("second")
    stage.write(0, b"whole")
    stage.interpreter(Kind.DONE, b'{"output": null}', b"", b"", flags=Flag.STATE_FOLLOWS)
    assert not front.take(Kind.OUTCOME, Kind.CHUNK)
    stage.snapshot_child(Kind.STATE, SEQ.pack(2), b"of the living", b"", b"{}")
    (outcome,) = front.outcomes()
    assert (outcome.seq, outcome.stdout, outcome.manifest, outcome.written) == (2, b"whole", b"of the living", 5)


def test_one_without_a_number(at_one):
    """A completion that kills the interpreter: its client hears why, nobody hears of a roll-back."""
    stage, front = at_one
    ref = front.request("looks", "complete")
    fall(stage)
    stage.interpreter(Kind.READY, READY)
    assert front.said(Kind.REFUSED)[0][0] == ref
    assert not front.events()


def test_one_that_was_answered_already(at_one):
    """Its time was over before: one answer."""
    stage, front = at_one
    front.request("looks", "complete")
    stage.pass_time(1.0)
    assert len(front.take(Kind.REFUSED)) == 1
    fall(stage)
    stage.interpreter(Kind.READY, READY)
    assert not front.take(Kind.REFUSED)


def test_nothing_ran(at_one):
    """A thread of the tenant's killed it: everybody hears of the takeover, and it goes on."""
    stage, front = at_one
    fall(stage)
    front.request("second")
    assert not stage.runs()
    stage.interpreter(Kind.READY, READY)
    assert len(front.take(Kind.TAKEN_OVER)) == 1
    assert not front.events()
    assert stage.runs() == [(2, b"second")]
    stage.done()
    assert [outcome.seq for outcome in front.outcomes()] == [2]


def test_it_can_not(at_one):
    """DIED with the cause of the first death, and why."""
    stage, front = at_one
    front.request("second")
    fall(stage)
    stage.interpreter(Kind.READY, b'{"refused": "the working folder has changed"}')
    ((_, said),) = front.said(Kind.DIED)
    assert (said["code"], said["signal"], said["refused"]) == (
        "worker_crashed", 9, "the working folder has changed",
    )  # fmt: skip
    assert stage.agent.has_ended


def test_it_dies_too(at_one):
    """DIED with the cause of the first death."""
    stage, front = at_one
    fall(stage)
    stage.die(None, None)
    assert front.said(Kind.DIED)[0][1]["message"] == "killed by signal 9"


@pytest.mark.parametrize("body", [b"[]", b"no json", b'{"unsaved": 3}'])
def test_a_malformed_word(at_one, body):
    """It ends, whatever it was."""
    stage, _ = at_one
    fall(stage)
    stage.interpreter(Kind.READY, body)
    assert stage.agent.has_ended


def test_who_comes_back_late_hears_of_the_roll_back():
    """Although the events around it are no longer kept."""
    stage, front = claimed({"events_kept_max": 2}, takeover=True)
    forked(stage, front, "first", 1)
    front.request("second", flags=Flag.NUMBERED | Flag.STREAM)
    stage.write(0, b"half")
    fall(stage)
    stage.interpreter(Kind.READY, READY)
    front.request("third", flags=Flag.NUMBERED | Flag.STREAM)
    for _ in range(3):
        stage.write(0, b"on")
    front.events()
    for seen, numbers in ((1, [2, 4, 5]), (2, [4, 5])):
        front.send(Kind.REPLAY, COUNT.pack(seen))
        assert [event[0] for event in front.events()] == numbers
        assert front.said(Kind.REPLY)[-1][1] == {"first": 4, "last": 5}


def test_unconfirmed_outcomes_stay(at_one):
    """What was executed before is handed over as if nothing had been."""
    stage, front = at_one
    forked(stage, front, "second", 2, confirm=False)
    assert [outcome.seq for outcome in front.outcomes()] == [2]
    fall(stage)
    stage.interpreter(Kind.READY, READY)
    other = attached(stage)
    stage.pass_time(60.0)
    assert [Outcome(frame).seq for frame in other.take(Kind.OUTCOME)] == [2]
