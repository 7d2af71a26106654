"""What is sealed opens in its own place only, with its own key only."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.seal import NONCE_BYTES, OVERHEAD_BYTES, Sealer, SealError, tenant_key

MASTER = bytes(range(32))
NONCE = b"n" * NONCE_BYTES
ID = b"i" * 32


@pytest.fixture
def sealer() -> Sealer:
    """Of one tenant."""
    return Sealer(MASTER, "acme")


@given(plain=st.binary(max_size=200), nonce=st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES))
def test_what_is_sealed_opens_again(plain, nonce):
    """For all three kinds, whatever the bytes; the sealed form is longer by a fixed number of them."""
    sealer = Sealer(MASTER, "acme")
    sealed = sealer.seal_chunk(ID, plain, nonce)
    assert sealer.open_chunk(ID, sealed) == plain
    assert len(sealed) == len(plain) + OVERHEAD_BYTES
    assert sealer.open_manifest("s", 1, 2, sealer.seal_manifest("s", 1, 2, plain, nonce)) == plain
    assert sealer.open_entry("s", 2, sealer.seal_entry("s", 2, plain, nonce)) == plain


def test_the_plain_bytes_are_not_in_the_sealed_form(sealer):
    """Nor is the place."""
    sealed = sealer.seal_manifest("ses_name", 1, 2, b"a secret variable", NONCE)
    assert b"secret" not in sealed
    assert b"ses_name" not in sealed
    assert b"acme" not in sealed


def test_another_place_does_not_open(sealer):
    """Session, generation, seq, content id and kind: each one binds."""
    chunk = sealer.seal_chunk(ID, b"x", NONCE)
    manifest = sealer.seal_manifest("s", 1, 2, b"x", NONCE)
    entry = sealer.seal_entry("s", 2, b"x", NONCE)
    for wrong in (
        lambda: sealer.open_chunk(b"j" * 32, chunk),
        lambda: sealer.open_manifest("t", 1, 2, manifest),
        lambda: sealer.open_manifest("s", 2, 2, manifest),
        lambda: sealer.open_manifest("s", 1, 3, manifest),
        lambda: sealer.open_manifest("s", 12, 0, manifest),
        lambda: sealer.open_entry("s", 3, entry),
        lambda: sealer.open_entry("t", 2, entry),
        lambda: sealer.open_entry("s", 2, manifest),
        lambda: sealer.open_manifest("s", 1, 2, entry),
    ):
        with pytest.raises(SealError):
            wrong()


def test_another_tenant_or_master_key_does_not_open(sealer):
    """Also when everything else is the same."""
    sealed = sealer.seal_chunk(ID, b"x", NONCE)
    for other in (Sealer(MASTER, "acm"), Sealer(MASTER, ""), Sealer(bytes(32), "acme")):
        with pytest.raises(SealError):
            other.open_chunk(ID, sealed)


def test_every_changed_bit_is_seen(sealer):
    """Version, nonce, ciphertext and tag alike; and every cut."""
    sealed = sealer.seal_entry("s", 1, b"some text", NONCE)
    for at in range(len(sealed)):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        for broken in (changed, sealed[:at]):
            with pytest.raises(SealError):
                sealer.open_entry("s", 1, broken)


def test_keys_and_nonces_of_a_wrong_size_are_refused(sealer):
    """A short master key is a mistake in the settings; a short nonce one of ours."""
    with pytest.raises(SealError, match="32 bytes"):
        Sealer(os.urandom(31), "acme")
    with pytest.raises(SealError, match="nonce"):
        sealer.seal_chunk(ID, b"x", b"short")


def test_the_derivation_is_fixed():
    """What was sealed by an earlier release opens: the key of a tenant never changes."""
    assert tenant_key(MASTER, "acme").hex() == "33cc58319d04f285730ac8b42e575ef2a25434495c945df2318f9fe3cc09dcce"
    sealed = Sealer(MASTER, "acme").seal_manifest("ses_a_b", 3, 7, b"manifest", NONCE)
    assert sealed.hex() == "016e6e6e6e6e6e6e6e6e6e6e6e77c72426f9aac43d66db37efe17137d1179e87a098f562ba"
