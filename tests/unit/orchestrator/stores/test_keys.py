"""Key names: one table, one hash tag per lineage, nothing of a client's in them."""

import re

import pytest

from orchestrator.core.ids import lineage_of
from orchestrator.stores.keys import (
    INDEX_SHARDS,
    KEYS,
    REWRITTEN_KEY,
    index_key,
    index_key_of,
    opened_keys,
    session_keys,
    spent_key,
    tenant_key,
)  # fmt: skip
from support.commits import fresh_session


def test_the_table_names_every_key_that_is_made():
    """What the functions make is a row of the table, and every row is made by one."""
    session = fresh_session()
    made = [*session_keys(session), *opened_keys("acme", "ann"), index_key_of(session)]
    made += [spent_key("0f" * 12), tenant_key("acme"), REWRITTEN_KEY]
    patterns = [
        re.escape(row.name)
        .replace("lineage", lineage_of(session))
        .replace("<session>", session)
        .replace("<shard>", "[0-9]+")
        .replace("<principal>", "[0-9a-f]{32}")
        .replace("<tenant>", "[0-9a-f]{32}")
        .replace("<nonce>", "0f" * 12)
        for row in KEYS
    ]
    for pattern in patterns:
        assert sum(re.fullmatch(pattern, key.decode()) is not None for key in made) == 1
    assert len(made) == len(patterns)


def test_keys_of_a_lineage_share_their_hash_tag():
    """One script may touch them all; another lineage's are elsewhere."""
    session = fresh_session()
    sibling, stranger = fresh_session(session), fresh_session()
    tags = {tag for key in (*session_keys(session), *session_keys(sibling)) for tag in re.findall(rb"\{(.*?)\}", key)}
    assert tags == {lineage_of(session).encode()}
    assert not set(session_keys(session)) & set(session_keys(stranger))
    shared = set(session_keys(session)) & set(session_keys(sibling))
    assert {key.rpartition(b":")[2] for key in shared} == {b"chunks", b"counts", b"uncounted", b"garbage", b"members"}
    assert session_keys(session).of_commit[-1] == session_keys(session).garbage


@pytest.mark.parametrize("text", ["", "ses_", "ses_*_*", f"ses_{'a' * 16}", "ses_{a}_b", f"SES_{'a' * 16}_{'a' * 16}"])
def test_what_is_no_session_id_makes_no_key(text):
    """Not even one that would do no harm."""
    with pytest.raises(ValueError, match="not a session id"):
        session_keys(text)


@pytest.mark.parametrize("text", ["", "xyz", "0F" * 8, "0f" * 7, "0f" * 33, "0f" * 8 + "}", "0f" * 8 + "\n"])
def test_what_is_no_nonce_makes_no_key(text):
    """A stranger's text is never a part of a key."""
    with pytest.raises(ValueError, match="not a nonce"):
        spent_key(text)


def test_the_index_is_spread_and_stable():
    """A session is looked for where it was put, and all parts are used."""
    assert index_key_of("ses_aaaaaaaaaaaaaaaa_aaaaaaaaaaaaaaaa") == b"bascule:index:{13}"
    used = {index_key_of(fresh_session()) for _ in range(1000)}
    assert used == {index_key(shard) for shard in range(INDEX_SHARDS)}


def test_principals_have_keys_of_their_own():
    """Whatever is in their names; both keys of one lie together."""
    a, b = opened_keys("acme/x", "ann"), opened_keys("acme", "x/ann")
    assert not set(a) & set(b)
    assert len({re.findall(rb"\{(.*?)\}", key)[0] for key in a}) == 1
    assert b"acme" not in a[0]
