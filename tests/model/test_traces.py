"""The traces of durability.md: each is a path of the model, ends as the page wants it, and breaks without its rule."""

from __future__ import annotations

import pytest

from model.playing import BrokenPromiseError, NotAllowedError, can_be_answered, play
from model.promises import EVERY_REQUEST_ENDS, is_answered
from model.setup import Setup
from model.state import Client, bit
from model.traces import ADDED, TRACES, Told, Trace

ALL = (*TRACES, *ADDED)


def named(trace: Trace) -> str:
    """For the test's id."""
    return f"trace {trace.number}"


@pytest.mark.parametrize("trace", ALL, ids=named)
def test_a_trace_ends_as_it_should(trace: Trace) -> None:
    """Every line is possible when it comes, all promises hold on the way, and everybody has been answered."""
    state = play(trace.setup, trace.script)
    assert is_answered(state)
    assert {request: told(state.clients[request - 1]) for request in trace.ends} == trace.ends


@pytest.mark.parametrize("trace", ALL, ids=named)
def test_a_trace_breaks_its_promise_without_its_rule(trace: Trace) -> None:
    """Its last line does, or leaves somebody without an answer for ever."""
    setup = trace.setup._replace(broken=trace.rule)
    if trace.promise == EVERY_REQUEST_ENDS:
        assert not can_be_answered(setup, play(setup, trace.without))
    else:
        play(setup, trace.without[:-1])
        with pytest.raises(BrokenPromiseError, match=trace.promise):
            play(setup, trace.without)


@pytest.mark.parametrize("trace", ALL, ids=named)
def test_a_trace_is_harmless_with_its_rule(trace: Trace) -> None:
    """The same lines either cannot be taken to the end, or break nothing and leave nobody waiting."""
    try:
        state = play(trace.setup, trace.without)
    except NotAllowedError:
        return
    assert can_be_answered(trace.setup, state)


def test_the_page_has_ten_traces() -> None:
    """In its order, and each rule has one."""
    assert [trace.number for trace in ALL] == [*range(1, 14)]
    assert len({trace.rule for trace in ALL}) == len(ALL)


@pytest.mark.parametrize("line", ["fly 1 1", "start 1 1", "no submit 1 1"])
def test_a_line_that_does_not_fit_is_refused(line: str) -> None:
    """Unknown, not possible yet, or possible and said not to be."""
    with pytest.raises(NotAllowedError):
        play(Setup(), [line])


def told(client: Client) -> Told:
    """What a client heard, in the words of a trace."""
    lost = frozenset(number for number in range(1, client.lost.bit_length() + 1) if client.lost & bit(number))
    return Told(client.acked, lost, client.regressed)
