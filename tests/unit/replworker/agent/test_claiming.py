"""How a worker becomes a session's."""

import json
from typing import Any

import pytest

from replwire.frames import SEQ, Kind
from replworker.agent.links import END
from support.agent_stage import Stage, attached, claim_of, claimed
from support.worker_client import body_hash


def _warm() -> Stage:
    stage = Stage()
    stage.interpreter(Kind.READY, b"{}")
    return stage


def test_hello_says_whether_the_worker_is_free() -> None:
    """Each link is greeted with the worker's state and Python."""
    stage = _warm()
    front = stage.front()
    assert front.said(Kind.HELLO) == [(0, {"protocol": 1, "python": "3.11.0", "state": "ready"})]
    front.say(Kind.CLAIM, claim_of(), b"")
    assert stage.front().said(Kind.HELLO)[0][1]["state"] == "claimed"


def test_a_claim_passes_the_checkpoint_on_and_is_welcomed_when_it_is_restored() -> None:
    """Manifest, chunks and limits reach the interpreter; WELCOME waits for RESTORED and carries its report."""
    stage = _warm()
    front = stage.front()
    ref = front.say(Kind.CLAIM, claim_of(seq=7, chunks=2, ids=[["a", "00ff", 7]]), b"manifest")
    front.send(Kind.CHUNK, b"c1", b"one")
    front.send(Kind.CHUNK, b"c2", b"two")
    restore, *chunks = stage.to_interpreter
    assert json.loads(restore.parts[0]).keys() == {"limits", "seq", "durability", "chunks", "reseed"}
    assert restore.parts[1] == b"manifest"
    assert [frame.parts for frame in chunks] == [(b"c1", b"one"), (b"c2", b"two")]
    assert not front.take(Kind.WELCOME)
    stage.interpreter(Kind.RESTORED, b'{"unsaved": {"f": "an open file"}}')
    assert front.said(Kind.WELCOME) == [
        (
            ref,
            {"generation": 3, "seq": 7, "committed": 7, "event": 0, "unsaved": {"f": "an open file"}, "running": None},
        )
    ]


@pytest.mark.parametrize(("said", "passed_on"), [({"reseed": True}, True), ({"reseed": False}, False), ({}, False)])
def test_a_copy_is_told_to_reseed(said: dict[str, Any], passed_on: bool) -> None:
    """Only where the front door says so: a session that goes on draws what it would have drawn."""
    stage = _warm()
    stage.front().say(Kind.CLAIM, claim_of(seq=7, **said), b"manifest")
    assert json.loads(stage.to_interpreter[0].parts[0])["reseed"] is passed_on


def test_only_the_first_claim_wins() -> None:
    """A second claim is a conflict, on the same link and on another."""
    stage, front = claimed()
    ref = front.say(Kind.CLAIM, claim_of(), b"")
    assert [(found, said["code"]) for found, said in front.said(Kind.REFUSED)] == [(ref, "conflict")]
    other = stage.front()
    other.say(Kind.CLAIM, claim_of(), b"")
    assert other.said(Kind.REFUSED)[0][1]["code"] == "conflict"


def test_an_attach_has_to_show_session_generation_and_key() -> None:
    """Each of the three is checked."""
    stage, _ = claimed()
    ours = {"session": "ses_a", "generation": 3, "link_key": "key"}
    for wrong in ({"session": "ses_b"}, {"generation": 2}, {"link_key": "kez"}, {"link_key": None}):
        front = stage.front()
        front.say(Kind.ATTACH, {**ours, **wrong})
        assert front.said(Kind.REFUSED)[0][1]["code"] == "forbidden"
        assert not front.link.attached
    assert attached(stage).link.attached


def test_an_attach_before_the_claim_waits_for_it() -> None:
    """The record may name a worker a moment before it is claimed; until then it belongs to nobody."""
    stage = _warm()
    ours, strangers = stage.front(), stage.front()
    ours.say(Kind.ATTACH, {"session": "ses_a", "generation": 3, "link_key": "key"})
    strangers.say(Kind.ATTACH, {"session": "ses_b", "generation": 3, "link_key": "key"})
    assert ours.take(Kind.WELCOME, Kind.REFUSED) == []
    ours.request("x")
    assert ours.is_hung_up

    again = stage.front()
    again.say(Kind.ATTACH, {"session": "ses_a", "generation": 3, "link_key": "key"})
    stage.front().say(Kind.CLAIM, claim_of(), b"")
    assert strangers.said(Kind.REFUSED)[0][1]["code"] == "forbidden"
    stage.interpreter(Kind.RESTORED, b'{"unsaved": {}}')
    assert again.link.attached and not strangers.link.attached


def test_an_attach_during_the_restore_is_welcomed_after_it() -> None:
    """Who attaches early waits."""
    stage = _warm()
    stage.front().say(Kind.CLAIM, claim_of(), b"")
    other = stage.front()
    other.say(Kind.ATTACH, {"session": "ses_a", "generation": 3, "link_key": "key"})
    assert not other.take(Kind.WELCOME)
    stage.interpreter(Kind.RESTORED, b"{}")
    assert len(other.take(Kind.WELCOME)) == 1


def test_a_welcome_names_what_runs_and_the_last_event() -> None:
    """Who attaches in the middle of an eval is told so."""
    stage, front = claimed()
    front.request("a", flags=3)
    stage.write(0, b"x")
    other = stage.front()
    other.say(Kind.ATTACH, {"session": "ses_a", "generation": 3, "link_key": "key"})
    said = other.said(Kind.WELCOME)[0][1]
    assert (said["running"], said["event"]) == ("a", 1)


def test_a_failed_restore_is_refused_and_ends_the_worker() -> None:
    """The worker is of no use to anyone then."""
    stage = _warm()
    front = stage.front()
    front.say(Kind.CLAIM, claim_of(), b"bad")
    stage.interpreter(Kind.RESTORED, b'{"error": {"code": "restore_failed", "message": "no"}}')
    assert front.said(Kind.REFUSED)[0][1] == {"code": "restore_failed", "message": "no"}
    assert END in stage.commands


def test_a_claim_whose_link_goes_before_its_last_chunk_ends_the_worker() -> None:
    """It could never be completed."""
    stage = _warm()
    front = stage.front()
    front.say(Kind.CLAIM, claim_of(chunks=1), b"m")
    front.hang_up()
    assert END in stage.commands


def test_a_malformed_claim_costs_the_link_and_not_the_worker() -> None:
    """The next front door can still claim it."""
    stage = _warm()
    for body in (b"[]", b"{", b'{"session": 1}', json.dumps(claim_of({"a": -1})).encode()):
        front = stage.front()
        front.send(Kind.CLAIM, body, b"")
        assert front.is_hung_up
    assert stage.front().said(Kind.HELLO)[0][1]["state"] == "ready"


def test_a_chunk_that_was_not_announced_costs_the_link() -> None:
    """Nothing reaches the interpreter but what the claim said."""
    stage, front = claimed()
    front.send(Kind.CHUNK, b"id", b"data")
    assert front.is_hung_up
    assert not stage.to_interpreter


def test_an_interpreter_that_restores_out_of_turn_ends_the_worker() -> None:
    """Its answer belongs to a question."""
    stage = _warm()
    front = stage.front()
    stage.interpreter(Kind.RESTORED, b"{}")
    assert front.said(Kind.DIED)[0][1]["code"] == "worker_protocol_error"


def test_an_id_table_may_come_ahead_of_its_claim_in_as_many_frames_as_it_needs() -> None:
    """Rows of another link, or after the claim, are nobody's."""
    stage = _warm()
    other, front = stage.front(), stage.front()
    hashed = body_hash("eval", {"code": ""}).hex()
    other.send(Kind.IDS, json.dumps([["c", hashed, 3]]).encode())
    front.send(Kind.IDS, json.dumps([["a", hashed, 1]]).encode())
    front.send(Kind.IDS, json.dumps([["b", hashed, 2]]).encode())
    front.say(Kind.CLAIM, claim_of(seq=3), b"")
    stage.interpreter(Kind.RESTORED, b"{}")
    for known in ("a", "b", "c"):
        front.request(known)

    assert [SEQ.unpack(frame.parts[0])[0] for frame in front.take(Kind.KNOWN)] == [1, 2]
    front.send(Kind.IDS, b"[]")
    assert front.is_hung_up and not other.is_hung_up
