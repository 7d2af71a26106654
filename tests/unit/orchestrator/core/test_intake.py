"""Strict intake: each field against each wrong type, sizes against limits, ids, hashes."""

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.intake import RefusedMessage, Request, read_request
from replwire.limits import default_limits
from replwire.messages import REQUESTS, Eval, From, History, Open, wire_fields

LIMITS = default_limits()
WRONG: list[Any] = [1, 1.5, True, "text", None, [], {}, ["a"], {"a": "b"}]
GOOD: dict[str, dict[str, Any]] = {
    "attach": {"session": "s"}, "eval": {"code": "1"}, "cancel": {"target": "a"}, "input": {"target": "a", "text": ""},
    "complete": {"code": "x", "cursor": 1}, "inspect": {"code": "x", "cursor": 0}, "is_complete": {"code": "x"},
    "files": {"op": "list", "path": "."}, "rewind": {"seq": 1}, "pin": {"name": "a"}, "unpin": {"name": "a"},
}  # fmt: skip


def fresh() -> str:
    """The id of a request that came without one."""
    return "fresh"


def read(type_: str, payload: Any = None, **more: Any) -> Request:
    """A message of the type, as text, through the intake."""
    message = {
        "id": "a",
        "type": type_,
        "payload": GOOD.get(type_, {}) if payload is None else payload,
        "timestamp": 1,
        **more,
    }
    return read_request(json.dumps(message), LIMITS, fresh)


def refused(type_: str, payload: Any = None, **more: Any) -> dict[str, Any]:
    """The error payload that the message gets."""
    with pytest.raises(RefusedMessage) as caught:
        read(type_, payload, **more)
    return caught.value.error.payload("inc")


@pytest.mark.parametrize("type_", REQUESTS)
def test_every_request_is_read_with_its_smallest_payload(type_):
    """What the table lists is served."""
    assert isinstance(read(type_).payload, REQUESTS[type_])


def _fits(annotation: str, value: Any) -> bool:
    if value is None:
        return "None" in annotation
    if isinstance(value, bool):
        return "bool" in annotation
    if isinstance(value, int):
        return "int" in annotation.replace("dict[str, int]", "") or "float" in annotation
    if isinstance(value, float):
        return "float" in annotation
    if isinstance(value, str):
        return "str" in annotation.replace("dict[str, int]", "") and "Literal" not in annotation
    return isinstance(value, dict) and not value and "dict" in annotation


CASES = [
    (type_, wire, value)
    for type_, request in REQUESTS.items()
    for wire, _, annotation, _ in wire_fields(request)
    for value in WRONG
    if not _fits(str(annotation), value)
]


@pytest.mark.parametrize(("type_", "wire", "value"), CASES)
def test_a_field_of_a_wrong_type_is_named(type_, wire, value):
    """Each field of each request with each wrong type (catalogue C08)."""
    said = refused(type_, {**GOOD.get(type_, {}), wire: value})

    assert said["code"] == "bad_message"
    assert said["field"].startswith(f"payload.{wire}")


@pytest.mark.parametrize("type_", REQUESTS)
def test_an_unknown_field_of_a_payload_is_refused(type_):
    """A misspelt field is not silently ignored."""
    assert refused(type_, {**GOOD.get(type_, {}), "tiemout": 1})["field"] == "payload.tiemout"


def test_an_unknown_field_of_an_envelope_is_ignored():
    """Newer clients may say more."""
    assert read("ping", trace="abc").type == "ping"


@pytest.mark.parametrize("id_", ["", "x" * 129, "new\nline", "nul\0", "é", 7, None, ["a"]])
def test_an_id_that_cannot_be_used_is_refused(id_):
    """It would end up in keys and logs (catalogue C13)."""
    assert refused("ping", id=id_)["field"] == "id"


def test_a_message_without_id_gets_one():
    """So that its answer can be told apart."""
    assert read_request('{"type": "ping"}', LIMITS, fresh).id == "fresh"


@pytest.mark.parametrize(
    ("type_", "payload", "code", "field"),
    [
        ("eval", {"code": "x" * 131073}, "too_large", "payload.code"),
        ("eval", {"code": "é" * 65537}, "too_large", "payload.code"),
        ("eval", {"code": "x", "timeout_s": 0}, "bad_message", "payload.timeout_s"),
        ("eval", {"code": "x", "timeout_s": -1}, "bad_message", "payload.timeout_s"),
        ("eval", {"code": "x", "if_seq": -1}, "bad_message", "payload.if_seq"),
        ("complete", {"code": "x", "cursor": 2}, "bad_message", "payload.cursor"),
        ("complete", {"code": "x", "cursor": -1}, "bad_message", "payload.cursor"),
        ("open", {"language": "perl"}, "bad_message", "payload.language"),
        ("open", {"name": ""}, "bad_message", "payload.name"),
        ("open", {"idle_timeout_s": 0}, "bad_message", "payload.idle_timeout_s"),
        ("input", {"target": "a", "text": "x" * 65537}, "too_large", "payload.text"),
        ("files", {"op": "read", "path": "a", "offset": -1}, "bad_message", "payload.offset"),
        ("files", {"op": "read", "path": "a", "length": 2**62}, "bad_message", "payload.length"),
        ("history", {"first": 1}, "bad_message", "payload.first"),
    ],
)
def test_values_out_of_range_are_named(type_, payload, code, field):
    """Code, field and limit are in the answer."""
    said = refused(type_, payload)

    assert (said["code"], said["field"]) == (code, field)


def test_the_wire_name_of_a_keyword_is_mapped():
    """`from` and `to` on the wire are `first` and `last` in the code."""
    payload = read("history", {"from": 2, "to": 3}).payload

    assert isinstance(payload, History)
    assert (payload.first, payload.last) == (2, 3)


def test_the_same_body_has_the_same_hash_whatever_its_order():
    """Type and payload count, key order, timestamp and id do not."""
    one = read_request('{"id":"a","type":"eval","payload":{"code":"1","stream":true},"timestamp":1}', LIMITS, fresh)
    two = read_request('{"timestamp":9.5,"payload":{"stream":true,"code":"1"},"type":"eval","id":"b"}', LIMITS, fresh)
    other = read("eval", {"code": "1"})

    assert one.hash == two.hash != other.hash
    assert isinstance(one.payload, Eval)


VALUES = st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner))


@pytest.mark.envelope
@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=6),
       st.sampled_from([*REQUESTS, "nope"]))  # fmt: skip
def test_c27_any_payload_is_read_or_refused(payload, type_):
    """No payload gets another exception out of the intake."""
    text = json.dumps({"id": "a", "type": type_, "payload": payload, "timestamp": 1})
    try:
        request = read_request(text, LIMITS, fresh)
    except RefusedMessage as refusal:
        assert refusal.error.code in ("bad_message", "unknown_type", "too_large")
        return

    assert {item.name for item in fields(request.payload)} == {item.name for item in fields(REQUESTS[type_])}


@pytest.mark.parametrize(
    ("type_", "payload", "field"),
    [
        ("open", {"from": "ses"}, "from"),
        ("open", {"from": {}}, "from.session"),
        ("open", {"from": {"session": 1}}, "from.session"),
        ("open", {"from": {"session": "s", "state": 1}}, "from.state"),
        ("open", {"from": {"session": "s", "seq": "1"}}, "from.seq"),
        ("open", {"from": {"session": "s", "seq": True}}, "from.seq"),
        ("open", {"from": {"session": "s", "seq": 0}}, "from.seq"),
        ("open", {"from": {"session": "s", "seq": 1, "pin": "a"}}, "from"),
        ("open", {"from": {"session": "s", "pin": "../a"}}, "from.pin"),
        ("open", {"origin": {"session": "s"}}, "origin"),
        ("rewind", {"seq": 0}, "seq"),
        ("rewind", {"seq": 2**53}, "seq"),
        ("fork", {"seq": -1}, "seq"),
        ("fork", {"name": ""}, "name"),
        ("fork", {"name": "a\nb"}, "name"),
        ("pin", {"name": ""}, "name"),
        ("pin", {"name": ".."}, "name"),
        ("pin", {"name": "a" * 65}, "name"),
        ("pin", {"name": "a\n"}, "name"),
        ("pin", {"name": "é"}, "name"),
        ("unpin", {"name": "a/b"}, "name"),
    ],
)
def test_what_names_a_state_is_checked(type_, payload, field):
    """A seq from 1 on, a name that may stand in an address; and one of the two."""
    said = refused(type_, payload)
    assert (said["code"], said["field"]) == ("bad_message", f"payload.{field}")


def test_a_state_to_begin_with_is_read():
    """By its seq, by its name, or as the last one."""
    for said in ({}, {"seq": 3}, {"pin": "a.b-c_9"}):
        payload = read("open", {"from": {"session": "s", **said}}).payload
        assert isinstance(payload, Open) and payload.origin == From("s", **said)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner),
)
FIELDS = {
    "id": st.text(max_size=140) | ANYTHING, "type": st.sampled_from([*REQUESTS, "nope"]) | ANYTHING,
    "payload": ANYTHING, "timestamp": ANYTHING, "session": ANYTHING, "x": ANYTHING,
}  # fmt: skip


def read_or_refused(text: str) -> None:
    """No text gets another exception out of the intake, and what is read can be used."""
    try:
        request = read_request(text, LIMITS, fresh)
    except RefusedMessage as refusal:
        assert refusal.error.code in ("bad_message", "unknown_type", "too_large")
        assert len(json.dumps(refusal.error.payload("inc"))) < 2000
        return
    assert 1 <= len(request.id) <= LIMITS["id_chars_max"] and request.id.isprintable()
    assert request.type in REQUESTS


@pytest.mark.envelope
@given(st.fixed_dictionaries({}, optional=FIELDS))
def test_c27_any_envelope_is_read_or_refused(envelope):
    """Every field may be anything, or missing."""
    read_or_refused(json.dumps(envelope))


@pytest.mark.envelope
@given(st.text() | st.builds(lambda a, b: a + b, st.sampled_from(['{"id":"a","type":"eval"', "[", '"']), st.text()))
def test_c27_any_text_is_read_or_refused(text):
    """Also what is no JSON."""
    read_or_refused(text)
