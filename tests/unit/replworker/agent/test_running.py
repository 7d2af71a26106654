"""Requests one at a time through the interpreter."""

import pytest

from replwire.frames import EVENT_OVERHEAD_BYTES, NONE, SEQ, EventKind, Flag, Kind
from replworker.agent.limits import OUTCOMES_UNCONFIRMED_MAX
from replworker.agent.links import INTERRUPT, KILL
from support.agent_stage import attached, claimed


def test_an_eval_is_numbered_run_and_answered_under_its_ref() -> None:
    """The outcome carries back what the request brought."""
    stage, front = claimed(seq=4)
    ref = front.request("a", code="1+1")
    (run,) = stage.to_interpreter
    assert run.parts == (SEQ.pack(5), b"eval", b"a", b'{"code":"1+1"}')
    assert run.flags == Flag.SNAPSHOT
    stage.done({"output": "2"}, b"manifest", b"r" * 32)
    (outcome,) = front.outcomes()
    assert (outcome.ref, outcome.seq, outcome.id, outcome.type) == (ref, 5, b"a", b"eval")
    assert (outcome.stamp, outcome.principal, outcome.body) == (b"stamp", b"ann", b'{"code":"1+1"}')
    assert (outcome.told, outcome.manifest, outcome.references) == ({"output": "2"}, b"manifest", b"r" * 32)


def test_requests_run_in_the_order_of_their_coming_over_all_links() -> None:
    """One at a time; only those that waited are told that they start."""
    stage, front = claimed()
    other = attached(stage)
    front.request("a")
    second = other.request("b")
    third = front.request("c")
    assert stage.runs() == [(1, b"a")]
    stage.done()
    assert stage.runs() == [(2, b"b")]
    assert [(frame.ref, frame.parts) for frame in other.take(Kind.STARTED)] == [(second, (SEQ.pack(2),))]
    stage.done()
    assert stage.runs() == [(3, b"c")]
    assert [frame.ref for frame in front.take(Kind.STARTED)] == [third]


def test_the_queue_has_an_end() -> None:
    """Beyond `requests_waiting_max` a request is refused as busy, whichever link it comes from."""
    stage, front = claimed({"requests_waiting_max": 2})
    for name in ("running", "w1", "w2"):
        front.request(name)
    other = attached(stage)
    other.request("w3")
    assert other.said(Kind.REFUSED)[0][1]["code"] == "busy"
    stage.done()
    other.request("w3")
    assert not other.said(Kind.REFUSED)


def test_if_seq_is_checked_when_the_request_starts() -> None:
    """What came before it in the queue counts; a refused one leaves no hole and its id stays free."""
    stage, front = claimed()
    front.request("a")
    wrong = front.request("b", if_seq=0)
    front.request("c", if_seq=1)
    stage.done()
    ((ref, said),) = front.said(Kind.REFUSED)
    assert (ref, said["code"], said["seq"]) == (wrong, "conflict", 1)
    assert stage.runs() == [(1, b"a"), (2, b"c")]
    stage.done()
    front.request("b", if_seq=2)
    assert stage.runs() == [(3, b"b")]


def test_the_same_id_joins_what_runs_or_waits() -> None:
    """It runs once; each link hears of it."""
    stage, front = claimed()
    front.request("a")
    front.request("b")
    other = attached(stage)
    ref_b = other.request("b")
    other.request("a")
    assert stage.runs() == [(1, b"a")]
    stage.done()
    assert [frame.ref for frame in other.take(Kind.STARTED)] == [ref_b]
    stage.done()
    assert [outcome.id for outcome in front.outcomes()] == [b"a", b"b"]
    assert stage.runs() == [(2, b"b")]


def test_the_same_id_with_another_body_is_a_conflict_at_every_age() -> None:
    """Running, waiting, executed, committed."""
    stage, front = claimed(ids=[["old", "00", 1]])
    front.request("a", code="1")
    front.request("b", code="1")
    for name in ("a", "b", "old"):
        front.request(name, code="2")
    stage.done()
    front.request("a", code="3")
    front.confirm(1, "a")
    front.request("a", code="3")
    assert [said["code"] for _, said in front.said(Kind.REFUSED)] == ["conflict"] * 5


def test_a_committed_id_is_known_by_its_seq() -> None:
    """From the claim's table, and from a CONFIRM."""
    from support.worker_client import body_hash

    stage, front = claimed(ids=[["old", body_hash("eval", {"code": ""}).hex(), 9]])
    front.request("old")
    front.request("a")
    stage.done()
    front.confirm(1, "a")
    front.request("a")
    assert [SEQ.unpack(frame.parts[0])[0] for frame in front.take(Kind.KNOWN)] == [9, 1]
    assert stage.runs() == [(1, b"a")]


def test_an_auxiliary_request_gets_a_reply_and_no_number() -> None:
    """It is run without a snapshot, and its answer goes to each who asked."""
    stage, front = claimed()
    ref = front.request("c", "complete")
    other = attached(stage)
    other_ref = other.request("c", "complete")
    (run,) = stage.to_interpreter
    assert (run.parts[0], run.flags) == (SEQ.pack(NONE), 0)
    stage.done({"matches": []})
    assert front.said(Kind.REPLY) == [(ref, {"matches": []})]
    assert other.said(Kind.REPLY) == [(other_ref, {"matches": []})]
    front.request("e")
    assert stage.runs()[-1] == (1, b"e")


def test_an_auxiliary_request_that_takes_too_long_is_interrupted() -> None:
    """`auxiliary_timeout_ms` after its start; its late answer goes to nobody, and the queue goes on."""
    stage, front = claimed({"auxiliary_timeout_ms": 500})
    ref = front.request("c", "complete")
    front.request("e")
    stage.pass_time(0.4)
    assert not stage.commands
    stage.pass_time(0.2)
    assert stage.commands == [INTERRUPT]
    assert [(found, said["code"]) for found, said in front.said(Kind.REFUSED)] == [(ref, "timeout")]
    stage.done()
    assert not front.said(Kind.REPLY)
    assert (1, b"e") in stage.runs()


def test_an_auxiliary_request_that_does_not_stop_costs_the_worker() -> None:
    """Nobody else would ever end it."""
    stage, front = claimed({"auxiliary_timeout_ms": 500, "interrupt_grace_s": 2})
    front.request("c", "inspect")
    stage.pass_time(0.6)
    stage.pass_time(2.1)
    assert KILL in stage.commands
    assert front.said(Kind.DIED)[0][1]["code"] == "worker_unresponsive"


def test_an_eval_has_no_deadline_here() -> None:
    """Front doors hold it."""
    stage, front = claimed()
    front.request("a")
    stage.pass_time(3600)
    assert not stage.commands


def test_interrupt_hits_what_runs_and_nothing_else() -> None:
    """Idle, the running one by name, the running one without a name, another one."""
    stage, front = claimed()

    def interrupt(target: bytes) -> object:
        front.send(Kind.INTERRUPT, target, b"interrupt")
        return front.said(Kind.REPLY)[0][1]["status"]

    assert interrupt(b"") == "idle"
    front.request("a")
    assert interrupt(b"b") == "mismatch"
    assert not stage.commands
    assert interrupt(b"a") == "interrupted"
    assert interrupt(b"") == "interrupted"
    assert stage.commands == [INTERRUPT, INTERRUPT]
    stage.done()
    assert interrupt(b"a") == "idle"


def test_cancel_drops_only_what_waits() -> None:
    """Its waiters are told, the next ones move up, and no number is lost."""
    stage, front = claimed()
    front.request("a")
    ref = front.request("b")
    front.request("c")
    statuses = []
    for target in (b"a", b"b", b"b", b"x"):
        front.send(Kind.CANCEL, target)
        statuses.append(front.said(Kind.REPLY)[0][1]["status"])
    assert statuses == ["running", "cancelled", "unknown", "unknown"]
    assert [(found, said["code"]) for found, said in front.said(Kind.REFUSED)] == [(ref, "cancelled")]
    stage.done()
    assert stage.runs() == [(1, b"a"), (2, b"c")]


def test_input_goes_to_the_eval_that_asked_and_once() -> None:
    """A line that nobody waits for is a mismatch."""
    stage, front = claimed()
    front.request("a", flags=Flag.NUMBERED | Flag.STDIN)
    assert stage.to_interpreter[-1].flags & Flag.STDIN

    def answer(target: bytes) -> object:
        front.send(Kind.INPUT, target, b"line")
        return front.said(Kind.REPLY)[0][1]["status"]

    assert answer(b"a") == "mismatch"
    stage.interpreter(Kind.ASK, b'{"prompt": "?", "password": false}')
    assert front.events() == [(1, 1, EventKind.INPUT_REQUEST, b"a", b'{"prompt": "?", "password": false}')]
    assert answer(b"b") == "mismatch"
    assert answer(b"a") == "delivered"
    assert stage.to_interpreter[-1].parts == (b"a", b"line")
    assert answer(b"a") == "mismatch"


def test_streamed_output_leaves_as_numbered_events_of_the_eval() -> None:
    """Every attached link gets them, and the outcome names their range."""
    stage, front = claimed()
    other = attached(stage)
    front.request("a", flags=Flag.NUMBERED | Flag.STREAM)
    stage.write(0, b"out")
    stage.write(1, b"err")
    stage.done()
    told = [(1, 1, EventKind.STDOUT, b"a", b"out"), (2, 1, EventKind.STDERR, b"a", b"err")]
    assert front.events() == told
    assert other.events() == told
    (outcome,) = front.outcomes()
    assert (outcome.first_event, outcome.last_event, outcome.written, outcome.cut) == (0, 2, 6, 0)
    assert (outcome.stdout, outcome.stderr) == (b"", b"")


def test_captured_output_travels_with_the_outcome() -> None:
    """No events; text and count."""
    stage, front = claimed()
    front.request("a")
    stage.write(0, b"out")
    stage.write(1, b"err")
    stage.done()
    (outcome,) = front.outcomes()
    assert (outcome.stdout, outcome.stderr, outcome.written) == (b"out", b"err", 6)
    assert not front.events()


@pytest.mark.parametrize("flags", [Flag.NUMBERED, Flag.NUMBERED | Flag.STREAM])
def test_displays_are_events_too_and_have_a_limit(flags: int) -> None:
    """Beyond `output_bytes_max` of an eval they are cut, with a mark and a count; the next eval starts afresh."""
    stage, front = claimed({"output_bytes_max": 10})
    front.request("a", flags=flags)
    for body in (b"12345678", b"12", b"3", b"4"):
        stage.interpreter(Kind.EMIT, bytes([EventKind.DISPLAY]), body)
    events = [event[2:] for event in front.events()]
    assert events[:2] == [(EventKind.DISPLAY, b"a", b"12345678"), (EventKind.DISPLAY, b"a", b"12")]
    stage.done()
    (outcome,) = front.outcomes()
    assert (outcome.written, outcome.cut) == (12, 2)
    marks = [outcome.stderr] if not flags & Flag.STREAM else [body for _, _, body in events[2:]]
    assert len(marks) == 1 and b"displays" in marks[0] and b"cut]" in marks[0]
    front.request("b")
    stage.interpreter(Kind.EMIT, bytes([EventKind.CLEAR_OUTPUT]), b"{}")
    assert len(front.events()) == 1


def test_a_flood_on_stdout_leaves_room_for_the_traceback() -> None:
    """An eighth of the text is stderr's; what stderr needs beyond it, it takes from the whole."""
    stage, front = claimed({"text_bytes_max": 800})
    front.request("a")
    stage.write(0, b"o" * 5000)
    stage.write(1, b"traceback")
    stage.done()
    front.request("b")
    stage.write(1, b"e" * 300)
    stage.write(0, b"o" * 5000)
    stage.done()
    first, second = front.outcomes()
    assert (first.stdout.count(b"o"), first.stderr, first.cut) == (700, b"traceback", 4300)
    assert (second.stdout.count(b"o"), second.stderr, second.cut) == (500, b"e" * 300, 4500)


def test_a_text_is_no_longer_than_the_output_may_be() -> None:
    """Where an operator allows less output than text, also for those who don't stream."""
    stage, front = claimed({"output_bytes_max": 100})
    front.request("a")
    stage.write(0, b"o" * 5000)
    stage.done()
    (outcome,) = front.outcomes()
    assert outcome.stdout.count(b"o") <= 100 and outcome.cut == 5000 - outcome.stdout.count(b"o")


def test_with_durability_none_no_snapshot_is_asked_for() -> None:
    """And the outcome is forgotten once it is sent; its id is not."""
    stage, front = claimed(durability="none")
    front.request("a")
    assert stage.to_interpreter[-1].flags == 0
    stage.done()
    assert len(front.outcomes()) == 1
    front.request("a")
    assert len(front.take(Kind.KNOWN)) == 1
    for number in range(OUTCOMES_UNCONFIRMED_MAX + 1):
        front.request(f"n{number}")
        stage.done()
    assert not front.said(Kind.REFUSED)


def test_requests_of_a_link_that_went_go_on_if_they_are_numbered() -> None:
    """A question that only it asked is dropped from the queue."""
    stage, front = claimed()
    front.request("a")
    front.request("b")
    front.request("c", "complete")
    other = attached(stage)
    front.hang_up()
    stage.done()
    stage.done()
    assert stage.runs() == [(1, b"a"), (2, b"b")]
    assert [outcome.id for outcome in other.outcomes()] == [b"a", b"b"]


def test_unknown_types_are_refused() -> None:
    """The interpreter never sees them."""
    stage, front = claimed()
    front.request("a", "shutdown")
    assert front.said(Kind.REFUSED)[0][1]["code"] == "unknown_type"
    assert not stage.to_interpreter


def test_is_complete_is_answered_while_another_request_runs() -> None:
    """It never waits, and a broken body is said to be broken."""
    stage, front = claimed()
    front.request("a")
    front.request("q", "is_complete", code="def f():")
    assert front.said(Kind.REPLY)[0][1] == {"status": "incomplete", "indent": "    "}
    front.send(Kind.REQUEST, SEQ.pack(NONE), b"q", b"is_complete", b"", b"", b"", b"[]")
    assert front.said(Kind.REFUSED)[0][1]["code"] == "bad_message"
    assert stage.runs() == [(1, b"a")]


@pytest.mark.parametrize(
    ("code", "indent"), [("if x:  # why", "    "), ("if x == '#':", "    "), ("f(  # why", ""), ("  if x:", "      ")]
)
def test_the_next_indent_is_that_of_a_block(code: str, indent: str) -> None:
    """A comment behind the colon changes nothing."""
    _, front = claimed()
    front.request("q", "is_complete", code=code if not code.startswith(" ") else "while 1:\n" + code)
    assert front.said(Kind.REPLY)[0][1] == {"status": "incomplete", "indent": indent}


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        (Kind.DONE, (b"{}", b"", b"")),
        (Kind.EMIT, (b"\x01", b"fake stdout")),
        (Kind.EMIT, (b"",)),
        (Kind.STATE, (SEQ.pack(9), b"", b"", b"{}")),
        (Kind.STATE, (b"short", b"", b"", b"{}")),
        (Kind.RESTORED, (b"{}",)),
        (Kind.OUTCOME, ()),
        (Kind.REQUEST, ()),
        (200, ()),
    ],
)
def test_an_interpreter_that_breaks_the_protocol_ends_the_worker(kind: int, parts: tuple[bytes, ...]) -> None:
    """It cannot be trusted to say anything more."""
    stage, front = claimed()
    stage.interpreter(kind, *parts)
    assert front.said(Kind.DIED)[0][1]["code"] == "worker_protocol_error"
    assert KILL in stage.commands


def test_small_events_use_up_the_credit() -> None:
    """What holds an event costs more than one byte of text, and both sides count it."""
    stage, front = claimed({"link_window_bytes": 10 * (EVENT_OVERHEAD_BYTES + 1)})
    front.request("a", flags=Flag.NUMBERED | Flag.STREAM)
    for number in range(10):
        assert not stage.agent.links.is_held_up, number
        stage.write(0, b"x")
    assert stage.agent.links.is_held_up
    front.credit(EVENT_OVERHEAD_BYTES + 1)
    assert not stage.agent.links.is_held_up


@pytest.mark.parametrize(("byte", "each"), [(b"\0", 6), (b'"', 2), (b"\n", 2), (b"\xff", 5), (b"x", 1)])
def test_the_limit_of_text_counts_what_a_client_has_to_take(byte: bytes, each: int) -> None:
    """Control characters and bytes that are no text are longer in JSON than they were written."""
    stage, front = claimed({"text_bytes_max": 8000})
    front.request("a")
    for _ in range(10):
        stage.write(0, byte * 1000)
    stage.done()
    (outcome,) = front.outcomes()
    kept = 7000 // each
    assert (outcome.stdout[: outcome.stdout.rindex(b"\n[")], outcome.written) == (byte * kept, 10_000)
    assert outcome.cut == 10_000 - kept
