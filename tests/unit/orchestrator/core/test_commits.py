"""Body hashes, stamps, link keys and the hash chain."""

from orchestrator.core.commits import Entry, body_hash, chain, confirmed_by, link_key, receipt, stamp

KEY = b"k" * 32


def test_a_stamp_binds_everything_that_was_dispatched():
    """Another session, generation, id, body or principal has another stamp; another key as well."""
    asked = ("ses_a", 1, "id", b"h" * 32, "tenant/me")
    others = [
        ("ses_b", 1, "id", b"h" * 32, "tenant/me"),
        ("ses_a", 2, "id", b"h" * 32, "tenant/me"),
        ("ses_a", 1, "ie", b"h" * 32, "tenant/me"),
        ("ses_a", 1, "id", b"i" * 32, "tenant/me"),
        ("ses_a", 1, "id", b"h" * 32, "tenant/you"),
    ]

    assert len({stamp(KEY, *asked), stamp(b"x" * 32, *asked), *(stamp(KEY, *other) for other in others)}) == 7
    assert stamp(KEY, *asked) == stamp(KEY, *asked)


def test_a_body_hash_tells_types_apart():
    """The same payload of another type is another body."""
    assert body_hash("eval", b"{}") != body_hash("files", b"{}")


def test_link_keys_differ_by_generation_and_are_no_stamps():
    """What a tenant could learn of one generation opens no other."""
    assert link_key(KEY, "ses_a", 1) != link_key(KEY, "ses_a", 2)
    assert link_key(KEY, "ses_a", 1) != stamp(KEY, "ses_a", 1, "", b"", "").hex()


def test_the_chain_depends_on_all_that_came_before():
    """Etags after each entry: a change anywhere changes all later ones, the checkpoint only the last."""
    entries = tuple(Entry(seq, f"id{seq}", bytes([seq]) * 32, b"") for seq in (1, 2, 3))
    etags = chain("", entries, b"m" * 32)

    assert len(set(etags)) == 3
    assert chain("", entries, b"n" * 32)[:2] == etags[:2]
    assert chain("", entries, b"n" * 32)[2] != etags[2]
    assert chain("x", entries, b"m" * 32)[0] != etags[0]
    assert not set(chain("", (entries[1], entries[2]), b"m" * 32)) & set(etags)


def test_a_receipt_proves_its_seq_to_whoever_has_the_key():
    """Of this session and generation, and of no other; nothing that a worker makes up is one."""
    made = receipt(b"k" * 32, "ses_a", 3, 12)
    assert confirmed_by(made, b"k" * 32, "ses_a", 3) == 12
    for given in (made.replace(b"12", b"13"), b"", b"12", b"-1 x", b"9" * 30 + b" x", made + b"0"):
        assert confirmed_by(given, b"k" * 32, "ses_a", 3) == 0
    assert confirmed_by(made, b"k" * 32, "ses_b", 3) == confirmed_by(made, b"k" * 32, "ses_a", 4) == 0
    assert confirmed_by(made, b"x" * 32, "ses_a", 3) == 0
