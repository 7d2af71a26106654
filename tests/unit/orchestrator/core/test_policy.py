"""What a principal may do, and how much of it."""

import pytest

from orchestrator.core.policy import SCOPE_OF, check_look, check_scope, effective_limits, lowered, session_policy
from orchestrator.core.principal import Principal
from replwire.errors import WireError
from replwire.limits import default_limits
from replwire.messages import REQUESTS, Open

LIMITS = default_limits()
IMAGES = ("plain", "data")


def code_of(call, *arguments, **more):
    """The code of the error that the call raises."""
    with pytest.raises(WireError) as caught:
        call(*arguments, **more)
    return caught.value.code


def test_every_request_has_its_scope():
    """A type that is served and has no row here would be served to anyone."""
    assert set(SCOPE_OF) == set(REQUESTS)


@pytest.mark.parametrize(("type_", "scope"), [(t, s) for t, s in SCOPE_OF.items() if s])
def test_a_request_needs_its_scope(type_, scope):
    """Without it `forbidden`, with it nothing."""
    assert code_of(check_scope, Principal("t", "s", frozenset()), type_, "driver") == "forbidden"
    check_scope(Principal("t", "s", frozenset({scope})), type_, "driver")


def test_who_may_neither_use_nor_watch_sees_no_list():
    """Either scope is enough."""
    assert code_of(check_look, Principal("t", "s", frozenset({"files"}))) == "forbidden"
    for scope in ("eval", "observe"):
        check_look(Principal("t", "s", frozenset({scope})))


def test_an_observer_only_watches():
    """Whatever its token would allow."""
    everything = Principal("t", "s")

    assert code_of(check_scope, everything, "eval", "observer") == "forbidden"
    assert code_of(check_scope, everything, "close", "observer") == "forbidden"
    check_scope(everything, "history", "observer")


def test_limits_are_lowered_and_never_raised():
    """By the client for its session, by the operator for a principal."""
    assert lowered(LIMITS, {"eval_timeout_s": 5}, "f")["eval_timeout_s"] == 5
    assert code_of(lowered, LIMITS, {"eval_timeout_s": 31}, "f") == "forbidden"
    assert code_of(lowered, LIMITS, {"no_such": 1}, "f") == "bad_message"
    assert code_of(lowered, LIMITS, {"eval_timeout_s": -1}, "f") == "bad_message"
    assert code_of(lowered, LIMITS, {"sessions_max": 1}, "f") == "bad_message"
    principal = Principal("t", "s", limits={"eval_timeout_s": 7, "code_bytes_max": 10**9})
    assert effective_limits(LIMITS, principal)["eval_timeout_s"] == 7
    assert effective_limits(LIMITS, principal)["code_bytes_max"] == LIMITS["code_bytes_max"]


def test_a_session_gets_what_was_asked_within_the_limits():
    """Defaults where nothing was asked."""
    principal = Principal("t", "me")
    plain = session_policy(Open(), principal, LIMITS, IMAGES, implicit=True)
    asked = session_policy(
        Open(image="data", durability="async", idle_timeout_s=10.0, name="n", limits={"eval_timeout_s": 3}),
        principal, LIMITS, IMAGES, implicit=False,
    )  # fmt: skip

    assert (plain.tenant, plain.subject, plain.image, plain.durability, plain.implicit) == (
        "t",
        "me",
        "plain",
        "commit",
        True,
    )
    assert plain.idle_timeout_s == LIMITS["idle_timeout_s"]
    assert (asked.image, asked.durability, asked.idle_timeout_s, asked.name) == ("data", "async", 10.0, "n")
    assert asked.limits["eval_timeout_s"] == 3


def test_what_is_not_offered_is_refused():
    """An image that is not on the list, an idle time over the limit."""
    principal = Principal("t", "me")

    assert code_of(session_policy, Open(image="x"), principal, LIMITS, IMAGES, implicit=False) == "not_found"
    assert code_of(session_policy, Open(idle_timeout_s=1e6), principal, LIMITS, IMAGES, implicit=False) == "forbidden"
