"""A worker agrees to end when it has nothing to do, and whose request runs when its front door is gone."""

from replwire.frames import COUNT, SEQ, Kind
from support.agent_stage import Front, attached, claimed

IDLE_S = 60


def parks(front: Front, idle_s: float = 0, park_ms: int = 5000) -> tuple[str, int]:
    """What the agent says when it is asked to end."""
    front.send(Kind.PARK, COUNT.pack(int(idle_s * 1000)), COUNT.pack(park_ms))
    ((_, said),) = front.said(Kind.REPLY)
    return said["status"], said["seq"]


def test_an_idle_worker_agrees_and_begins_nothing_until_the_time_is_over() -> None:
    """A request of another link is refused with the word that tells it to look again; then it is served."""
    stage, front = claimed(seq=4)
    other = attached(stage)
    assert parks(front) == ("parking", 4)
    other.request("a")
    ((_, refused),) = other.said(Kind.REFUSED)
    assert (refused["code"], refused["parking"]) == ("busy", 1)
    assert stage.runs() == []
    stage.pass_time(5.1)
    other.request("a")
    assert stage.runs() == [(5, b"a")]


def test_a_worker_with_something_to_do_does_not_agree() -> None:
    """It runs, or its outcome is not confirmed, or it was asked for something too short a time ago."""
    stage, front = claimed()
    front.request("a")
    assert parks(front)[0] == "busy"
    stage.done()
    assert parks(front)[0] == "busy"
    front.confirm(1, "a")
    assert parks(front, IDLE_S)[0] == "busy"
    stage.pass_time(IDLE_S)
    assert parks(front, IDLE_S) == ("parking", 1)


def test_an_id_that_is_known_is_answered_while_it_parks() -> None:
    """Nothing is begun by it."""
    stage, front = claimed()
    front.request("a")
    stage.done()
    front.confirm(1, "a")
    assert parks(front)[0] == "parking"
    front.request("a")
    assert len(front.take(Kind.KNOWN)) == 1


def test_whoever_is_left_hears_whose_request_runs_on() -> None:
    """Its front door held the deadline; one that waited in the queue is told when it starts."""
    stage, front = claimed()
    other = attached(stage)
    front.request("a")
    front.request("b")
    front.hang_up()
    (told,) = other.take(Kind.ORPHANED)
    assert told.parts == (SEQ.pack(1), b"a")
    stage.done()
    (told,) = other.take(Kind.ORPHANED)
    assert told.parts == (SEQ.pack(2), b"b")


def test_a_request_that_two_wait_for_is_nobodys_orphan() -> None:
    """The other link asked for it as well."""
    stage, front = claimed()
    other = attached(stage)
    front.request("a")
    other.request("a")
    front.hang_up()
    assert other.take(Kind.ORPHANED) == []


def test_a_ping_tells_what_runs() -> None:
    """Nothing, an eval, or a look that has no number."""
    stage, front = claimed()

    def running() -> str | None:
        front.send(Kind.PING)
        told: str | None = front.said(Kind.REPLY)[-1][1]["running"]
        return told

    assert running() is None
    front.request("a")
    assert running() == "a"
    stage.done()
    front.request("v", "variables")
    assert running() == "v"
