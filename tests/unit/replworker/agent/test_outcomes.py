"""Outcomes until they are confirmed: who gets them, in which order, and when somebody else does."""

import json

import pytest

from replwire.frames import FRAME_BYTES_MAX, SEQ, Flag, Kind
from replworker.agent.limits import OUTCOMES_UNCONFIRMED_MAX
from support.agent_stage import Front, Stage, attached, claimed


def _committed(front: Front) -> list[tuple[int, int]]:
    return [(frame.ref, SEQ.unpack(frame.parts[0])[0]) for frame in front.take(Kind.COMMITTED)]


def _executed(stage: Stage, front: Front, *names: str) -> None:
    for name in names:
        front.request(name)
        stage.done()


def test_an_outcome_goes_to_the_link_that_asked_and_to_no_other() -> None:
    """As long as that one is there and in time."""
    stage, front = claimed()
    other = attached(stage)
    _executed(stage, other, "a")
    assert [outcome.id for outcome in other.outcomes()] == [b"a"]
    assert not front.outcomes()


def test_chunks_come_before_their_outcome() -> None:
    """A front door has them when it needs them."""
    stage, front = claimed()
    front.request("a")
    stage.interpreter(Kind.CHUNK, b"id", b"data")
    stage.done()
    assert [frame.kind for frame in front.frames] == [Kind.CHUNK, Kind.OUTCOME]
    front.frames.clear()
    _executed(stage, front, "b")
    assert [frame.kind for frame in front.frames] == [Kind.OUTCOME]


def test_unconfirmed_in_time_an_outcome_goes_to_the_next_link_as_well() -> None:
    """A front door may be stopped with its link open."""
    stage, front = claimed({"handover_ms": 2000})
    other, third = attached(stage), attached(stage)
    front.request("a")
    stage.interpreter(Kind.CHUNK, b"id", b"data")
    stage.done()
    stage.pass_time(1.9)
    assert not other.frames
    stage.pass_time(0.2)
    assert [frame.kind for frame in other.frames] == [Kind.CHUNK, Kind.OUTCOME]
    assert not third.frames
    stage.pass_time(2.1)
    assert [frame.kind for frame in third.frames] == [Kind.CHUNK, Kind.OUTCOME]
    assert stage.agent.deadline(stage.now) is None


def test_the_word_of_the_last_commit_is_kept_whoever_says_it_first() -> None:
    """Two front doors commit, and each says so a little later: an older word that comes last proves less."""
    stage, front = claimed()
    other = attached(stage)
    _executed(stage, front, "a", "b")
    front.send(Kind.CONFIRM, SEQ.pack(2), b"b", b"two")
    other.send(Kind.CONFIRM, SEQ.pack(1), b"a", b"one")
    other.send(Kind.PING)
    assert [said["receipt"] for _, said in other.said(Kind.REPLY)] == [b"two".hex()]


def test_a_confirmed_outcome_is_handed_to_nobody() -> None:
    """Its copy is dropped."""
    stage, front = claimed({"handover_ms": 2000})
    _executed(stage, front, "a")
    front.confirm(1, "a")
    other = attached(stage)
    stage.pass_time(10)
    front.hang_up()
    assert not other.outcomes()


def test_what_a_dead_link_had_goes_to_another_one_at_once() -> None:
    """Also when the other one comes only later."""
    stage, front = claimed()
    _executed(stage, front, "a", "b")
    front.confirm(1, "a")
    front.hang_up()
    other = attached(stage)
    assert [(outcome.seq, outcome.ref) for outcome in other.outcomes()] == [(2, 0)]


def test_whoever_gets_an_outcome_has_every_unconfirmed_one_before_it() -> None:
    """A commit carries evals from the last committed one on."""
    stage, front = claimed()
    other = attached(stage)
    _executed(stage, front, "a", "b")
    _executed(stage, other, "c")
    assert [outcome.seq for outcome in other.outcomes()] == [1, 2, 3]
    assert [outcome.seq for outcome in front.outcomes()] == [1, 2]


def test_a_confirmation_covers_everything_before_it_and_tells_who_else_waits() -> None:
    """One COMMITTED for each waiting ref of another link."""
    stage, front = claimed()
    other = attached(stage)
    first = front.request("a")
    joined = other.request("a")
    stage.done()
    _executed(stage, other, "b")
    other.outcomes()
    other.confirm(2, "b")
    assert _committed(front) == [(first, 1)]
    assert _committed(other) == []
    assert joined
    other.request("a")
    assert len(other.take(Kind.KNOWN)) == 1


def test_a_second_waiter_on_the_confirming_link_is_told_too() -> None:
    """It joined between the answer and the word to the agent, and would wait for ever."""
    stage, front = claimed()
    front.request("a")
    stage.done()
    again = front.request("a")
    assert [outcome.ref for outcome in front.outcomes()][-1] == again
    front.confirm(1, "a")
    assert _committed(front) == [(again, 1)]


def test_an_executed_request_is_offered_to_whoever_asks_again() -> None:
    """Under the ref of the one who asks, chunks included."""
    stage, front = claimed()
    front.request("a")
    stage.interpreter(Kind.CHUNK, b"id", b"data")
    stage.done()
    other = attached(stage)
    ref = other.request("a")
    assert [frame.kind for frame in other.frames] == [Kind.CHUNK, Kind.OUTCOME]
    assert [outcome.ref for outcome in other.outcomes()] == [ref]
    assert stage.runs() == [(1, b"a")]


def test_unconfirmed_outcomes_are_bounded() -> None:
    """Beyond it numbered requests are refused, others are served, and a confirmation makes room."""
    stage, front = claimed()
    for number in range(OUTCOMES_UNCONFIRMED_MAX):
        _executed(stage, front, f"n{number}")
    front.request("more")
    assert front.said(Kind.REFUSED)[0][1]["code"] == "store_unavailable"
    front.request("c", "complete")
    stage.done({"matches": []})
    assert front.said(Kind.REPLY)
    front.confirm(1, "n0")
    front.request("more")
    assert not front.said(Kind.REFUSED)


def test_an_outcome_waits_for_the_state_that_a_forked_child_makes() -> None:
    """The next eval runs meanwhile; nothing overtakes it; what could not be kept is added."""
    stage, front = claimed()
    front.request("a")
    told = json.dumps({"output": "1", "unsaved": {"x": "y"}}).encode()
    stage.interpreter(Kind.DONE, told, b"", b"", flags=Flag.STATE_FOLLOWS)
    _executed(stage, front, "b")
    assert not front.frames
    stage.snapshot_child(Kind.CHUNK, b"id", b"data")
    stage.snapshot_child(Kind.STATE, SEQ.pack(1), b"manifest", b"r" * 32, b'{"f": "a file"}')
    assert [frame.kind for frame in front.frames] == [Kind.CHUNK, Kind.OUTCOME, Kind.OUTCOME]
    first, second = front.outcomes()
    assert (first.seq, first.manifest, first.references) == (1, b"manifest", b"r" * 32)
    assert first.told == {"output": "1", "unsaved": {"x": "y", "f": "a file"}}
    assert second.seq == 2


def test_a_state_may_come_before_its_outcome() -> None:
    """They travel on two channels."""
    stage, front = claimed()
    front.request("a")
    stage.snapshot_child(Kind.STATE, SEQ.pack(1), b"manifest", b"", b"{}")
    stage.interpreter(Kind.DONE, b"{}", b"", b"", flags=Flag.STATE_FOLLOWS)
    (outcome,) = front.outcomes()
    assert outcome.manifest == b"manifest"


def test_a_state_that_comes_twice_changes_nothing() -> None:
    """The first one stands, before and after its confirmation."""
    stage, front = claimed()
    front.request("a")
    stage.interpreter(Kind.DONE, b"{}", b"", b"", flags=Flag.STATE_FOLLOWS)
    for manifest in (b"one", b"two"):
        stage.snapshot_child(Kind.STATE, SEQ.pack(1), manifest, b"", b"{}")
    front.confirm(1, "a")
    stage.snapshot_child(Kind.STATE, SEQ.pack(1), b"three", b"", b"{}")
    assert [outcome.manifest for outcome in front.outcomes()] == [b"one"]
    assert not stage.commands


@pytest.mark.parametrize("unsaved", [b"[", b"3", b"[1]"])
def test_a_malformed_state_ends_the_worker(unsaved: bytes) -> None:
    """Nothing that cannot be read is handed on."""
    stage, front = claimed()
    front.request("a")
    stage.interpreter(Kind.DONE, b"{}", b"", b"", flags=Flag.STATE_FOLLOWS)
    stage.snapshot_child(Kind.STATE, SEQ.pack(1), b"m", b"", unsaved)
    assert front.said(Kind.DIED)[0][1]["code"] == "worker_protocol_error"


def test_an_outcome_that_fits_into_no_frame_ends_the_worker() -> None:
    """DONE itself may be just under the limit."""
    stage, front = claimed()
    front.request("a", code="x" * 1000)
    stage.done(manifest=b"m" * (FRAME_BYTES_MAX - 500))
    assert front.said(Kind.DIED)[0][1]["code"] == "worker_protocol_error"


def test_confirming_what_was_never_executed_costs_the_link() -> None:
    """A front door that speaks of another session's eval is not heard."""
    stage, front = claimed()
    front.confirm(1, "a")
    assert front.is_hung_up
    assert not stage.commands


def test_with_durability_none_everyone_who_waits_gets_the_outcome() -> None:
    """Nobody will be told that it is committed."""
    stage, front = claimed(durability="none")
    other = attached(stage)
    front.request("a")
    ref = other.request("a")
    stage.done()
    assert [outcome.ref for outcome in other.outcomes()] == [ref]
    assert len(front.outcomes()) == 1
