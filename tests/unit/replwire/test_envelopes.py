"""Envelopes: strict reading of what a stranger sends."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replwire.envelopes import canonical, decode_object, depth, encode, envelope
from replwire.errors import WireError

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


@pytest.mark.envelope
@given(st.dictionaries(TEXT, VALUES))
def test_what_is_encoded_is_decoded_to_the_same(value):
    """Both writers and the reader agree."""
    assert decode_object(encode(value), depth_max=64) == value
    assert decode_object(canonical(value), depth_max=64) == value


@pytest.mark.envelope
@given(st.text())
def test_any_text_is_an_object_or_a_bad_message(text):
    """No text gets another exception out of the reader."""
    try:
        found = decode_object(text, depth_max=64)
    except WireError as error:
        assert error.code == "bad_message"
        return

    assert isinstance(found, dict)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}', '{"a": NaN}', '{"a": Infinity}', '{"a": -Infinity}', '{"a": 1e999}', '{"a": "\\ud800"}',
        '{"\\udc00": 1}', '{"a": ' + "9" * 5000 + "}", "[1]", "null", '"x"', "", "{", "[" * 100_000, '{"a":' * 100_000,
    ],
)  # fmt: skip
def test_what_json_lets_through_in_silence_is_refused(text):
    """Duplicate keys, infinities, lone surrogates, giants, depth (catalogue C03 to C07)."""
    with pytest.raises(WireError) as caught:
        decode_object(text, depth_max=64)

    assert caught.value.code == "bad_message"


def test_depth_counts_brackets_outside_strings_only():
    """A string full of brackets is not deep."""
    assert depth(json.dumps({"a": "[[[[{{{{", "b": [[1]]})) == 3
    assert decode_object(json.dumps({"a": "[" * 1000}), depth_max=2) == {"a": "[" * 1000}


def test_depth_is_allowed_up_to_the_limit_exactly():
    """At the limit it is read, one deeper it is refused."""
    nested = "[" * 63 + "]" * 63

    assert decode_object(f'{{"a": {nested}}}', depth_max=64)
    with pytest.raises(WireError, match="deeper than 63"):
        decode_object(f'{{"a": {nested}}}', depth_max=63)


def test_absent_fields_of_an_envelope_are_left_out():
    """Only what is there is on the wire, the id first."""
    assert list(envelope("pong", {}, 1.5, id_="a")) == ["id", "type", "payload", "timestamp"]
    assert envelope("status", {}, 1, session="s", cursor="1.2") == {
        "type": "status", "payload": {}, "timestamp": 1, "session": "s", "cursor": "1.2",
    }  # fmt: skip
