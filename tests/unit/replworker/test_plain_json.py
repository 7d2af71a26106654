"""The worker's JSON says what the module `json` says."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replworker.plain_json import from_json, to_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_what_is_written_is_read(value):
    """By either of the two."""
    written = to_json(value)
    assert from_json(written) == json.loads(written) == value
    assert from_json(json.dumps(value, indent=1).encode()) == value


def test_what_is_no_json_is_refused():
    """With the exceptions that the callers know."""
    for text in (b"", b" ", b"{", b"[1,]", b"1 2", b"{} x", b"\xff", b'{"a" 1}', b"nul"):
        with pytest.raises(ValueError):
            from_json(text)
    with pytest.raises(RecursionError):
        from_json(b"[" * 100_000)
    with pytest.raises(TypeError, match="object of type object"):
        to_json({"a": object()})
    with pytest.raises(ValueError):
        to_json(math.nan)


def test_space_around_it_does_not_matter():
    """As in any JSON text."""
    assert from_json(b" \n\t{ } \r\n") == {}
    assert math.isnan(from_json(b"NaN"))
