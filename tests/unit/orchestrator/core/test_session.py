"""Records, and who may see them."""

import os
from dataclasses import replace

import pytest

from orchestrator.core.ids import RANDOM_BYTES, is_session_id, lineage_of, prefixed_id, session_id
from orchestrator.core.session import Record, SessionPolicy, Status, visible_to
from replwire.errors import WireError

RECORD = Record("ses_a", SessionPolicy("tenant", "me"), Status.OPEN, 0.0, 1, "n", 3, "e", 0.0)


def test_a_foreign_session_looks_like_none():
    """Same code and words for another tenant's session and for one that never was (catalogue A19)."""
    said = []
    for record in (RECORD, None):
        with pytest.raises(WireError) as caught:
            visible_to(record, "stranger", "ses_a")
        said.append(caught.value.payload("i"))

    assert said[0] == said[1]
    assert said[0]["code"] == "not_found"
    assert visible_to(RECORD, "tenant", "ses_a") is RECORD


def test_a_closed_session_is_gone_for_its_tenant():
    """Its owner is told; a stranger still is not."""
    closed = replace(RECORD, status=Status.CLOSED)

    for tenant, code in (("tenant", "session_gone"), ("stranger", "not_found")):
        with pytest.raises(WireError) as caught:
            visible_to(closed, tenant, "ses_a")
        assert caught.value.code == code


def test_ids_are_recognised_and_nothing_else_is():
    """What becomes a key, a path or a label has the one form."""
    made = session_id(os.urandom(RANDOM_BYTES), os.urandom(RANDOM_BYTES))

    assert is_session_id(made)
    assert len(lineage_of(made)) == 16
    assert prefixed_id("wrk", bytes(10)) == "wrk_aaaaaaaaaaaaaaaa"
    for bad in ("", "ses_", made + "\n", made.upper(), "../" + made, made.replace("_", "-"), made[:-1] + "1"):
        assert not is_session_id(bad)
