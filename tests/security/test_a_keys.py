"""Group A of the catalogue: the keys that vouch for tokens, as files that are wrong at start or change later."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from orchestrator.auth.jwt_keys import JWKS_BYTES_MAX, KEYS_MAX, read_jwt_keys
from orchestrator.auth.jwt_tokens import JwtIssuer
from orchestrator.auth.rereading import LOOK_AGAIN_S, AuthFileError
from support.identities import asking
from support.serving import serving
from support.tokens import Issuer, Ticking


@pytest.mark.parametrize("secret", ["", "\n", "short", "x" * 31, " " * 100, "ab" * 50])
def test_a04_an_empty_or_short_secret(tmp_path: Path, secret: str) -> None:
    """It could be guessed, and is refused before anyone can."""
    issuer = Issuer(tmp_path / "keys", "HS256")
    (issuer.folder / "secret").write_text(secret)
    with pytest.raises(AuthFileError, match="32 bytes at least"):
        JwtIssuer(issuer.config())
    issuer.key = secret
    issuer.write_jwks(issuer)
    with pytest.raises(AuthFileError):
        JwtIssuer(issuer.config("jwks_file"))


async def test_a04_the_server_does_not_start(tmp_path: Path) -> None:
    """Exit code 2, and the words name the file."""
    issuer = Issuer(tmp_path / "keys", "HS256")
    (issuer.folder / "secret").write_text("short")
    config = tmp_path / "config.toml"
    config.write_text(issuer.toml())
    words = ("--embedded", "--port", "0", "--state-dir", str(tmp_path / "state"), "--config", str(config))
    async with serving(*words) as process:
        _, err = await process.communicate()
    assert process.returncode == 2
    assert b"keys/secret: a secret has 32 bytes at least" in err


def _public(key: Any) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("content", ["private", "1024 bits", "P-384", "Ed448", "another kind", "secret", "", "absent"])
@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a04_a_key_that_is_weak_private_or_of_another_kind(tmp_path: Path, algorithm: str, content: str) -> None:
    """What could not be used safely is said when it is read."""
    issuer = Issuer(tmp_path / "keys", algorithm)
    path = issuer.folder / "public.pem"
    others = {"RS256": "ES256", "ES256": "EdDSA", "EdDSA": "RS256"}
    made = {
        "private": lambda: (issuer.folder / "key.pem").read_bytes(),
        "1024 bits": lambda: _public(rsa.generate_private_key(65537, 1024)),
        "P-384": lambda: _public(ec.generate_private_key(ec.SECP384R1())),
        "Ed448": lambda: _public(ed448.Ed448PrivateKey.generate()),
        "another kind": lambda: Issuer(tmp_path / "other", others[algorithm]).public_pem(),
        "secret": lambda: b"s" * 64,
        "": lambda: b"",
    }
    path.unlink()
    if content != "absent":
        path.write_bytes(made[content]())
    with pytest.raises(AuthFileError, match=r"public\.pem"):
        read_jwt_keys(issuer.config())


@pytest.mark.parametrize("form", ["-----BEGIN PUBLIC KEY-----", "ssh-ed25519 AAAA", '{"keys": []}'])
def test_a02_a_public_key_is_not_taken_for_a_secret(tmp_path: Path, form: str) -> None:
    """Whoever confuses the two would let everybody in who has the public one."""
    issuer = Issuer(tmp_path / "keys", "HS256")
    (issuer.folder / "secret").write_text(form + "A" * 64)
    with pytest.raises(AuthFileError, match="no secret"):
        read_jwt_keys(issuer.config())


async def test_a11_a_new_key_is_taken_and_an_old_one_refused_soon(tmp_path: Path) -> None:
    """The file changes, and after one look at it that is in force: also for those who were let in by the old key."""
    clock = Ticking()
    old, new = Issuer(tmp_path / "keys", "ES256", "old"), Issuer(tmp_path / "new", "ES256", "new")
    async with asking(JwtIssuer(old.config("jwks_file"), monotonic=clock)) as asked:
        inside = asked.chain.authenticate(old.token())
        assert await asked.status(new.token()) == 401
        old.write_jwks(old, new)
        clock.now += LOOK_AGAIN_S
        assert [await asked.status(issuer.token()) for issuer in (old, new)] == [200, 200]
        assert asked.chain.stands(inside)
        old.write_jwks(new)
        clock.now += LOOK_AGAIN_S
        assert [await asked.status(issuer.token()) for issuer in (old, new)] == [401, 200]
        assert not asked.chain.stands(inside)


async def test_a11_a_flood_of_unknown_kids_is_no_flood_of_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger's `kid` makes nobody look at the file."""
    clock, looks = Ticking(), 0
    issuer = Issuer(tmp_path / "keys", "ES256")
    real = os.stat

    def counting(path: Any, *more: Any, **options: Any) -> os.stat_result:
        nonlocal looks
        looks += str(path).endswith("jwks.json")
        return real(path, *more, **options)

    async with asking(JwtIssuer(issuer.config("jwks_file"), monotonic=clock)) as asked:
        monkeypatch.setattr(os, "stat", counting)
        for number in range(50):
            assert await asked.status(issuer.token({"kid": f"k{number}"})) == 401
        assert looks == 0
        clock.now += LOOK_AGAIN_S
        for number in range(50):
            assert await asked.status(issuer.token({"kid": f"k{number}"})) == 401
        assert looks == 1


BROKEN: dict[str, bytes | None] = {
    "absent": None,
    "empty": b"",
    "no JSON": b"<html>",
    "a redirect": b"HTTP/1.1 302 Found",
    "no keys": b'{"keys": []}',
    "no list": b'{"keys": {}}',
    "two forms": b'{"keys": [], "keys": []}',
    "10 MB": b'{"keys": []}' + b" " * 10_000_000,
    "too many": json.dumps({"keys": [{"kty": "EC"}] * (KEYS_MAX + 1)}).encode(),
    "deep": b'{"keys": ' + b"[" * 40 + b"]" * 40 + b"}",
    "no text": b"\xff\xfe",
    "a broken key": b'{"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}',
    "another algorithm": b'{"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES384"}]}',
}


@pytest.mark.parametrize("name", list(BROKEN))
async def test_a12_a_broken_set_leaves_the_last_good_one_in_force(tmp_path: Path, name: str) -> None:
    """Never is everybody let in, nor is everybody locked out by a slip; at start the same set is an error."""
    assert len(BROKEN["10 MB"] or b"") > JWKS_BYTES_MAX
    clock = Ticking()
    issuer, stranger = Issuer(tmp_path / "keys", "ES256"), Issuer(tmp_path / "other", "ES256", "other")
    path, content = issuer.folder / "jwks.json", BROKEN[name]
    async with asking(JwtIssuer(issuer.config("jwks_file"), monotonic=clock)) as asked:
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        clock.now += LOOK_AGAIN_S
        assert [await asked.status(one.token()) for one in (issuer, stranger)] == [200, 401]
        with pytest.raises(AuthFileError, match=r"jwks\.json"):
            read_jwt_keys(issuer.config("jwks_file"))


@pytest.mark.parametrize("url", ["https://id.example.com/jwks", "file:///etc/passwd", "data:application/json,{}"])
def test_a12_an_address_is_no_file(tmp_path: Path, url: str) -> None:
    """Nothing is fetched for the setting that names a file."""
    issuer = Issuer(tmp_path / "keys", "ES256")
    with pytest.raises(AuthFileError, match="No such file"):
        read_jwt_keys(issuer.config("jwks_file", jwks_file=url))


def test_a12_keys_that_can_be_confused(tmp_path: Path) -> None:
    """Two of one name, or several without one; private ones; those for other purposes are left out."""
    issuer, other = Issuer(tmp_path / "keys", "ES256", "one"), Issuer(tmp_path / "other", "ES256", "other")
    path = issuer.folder / "jwks.json"

    def reading(*keys: dict[str, Any]) -> Any:
        path.write_text(json.dumps({"keys": keys}))
        return read_jwt_keys(issuer.config("jwks_file"))

    one, two = issuer.jwk(), other.jwk()
    for_others = ({**one, "kid": "enc", "use": "enc"}, {"kty": "RSA"}, {"kty": "new"})
    assert set(reading(one, two, *for_others).by_kid) == {"one", "other"}
    nameless = {name: value for name, value in two.items() if name != "kid"}
    for wrong in ((one, {**two, "kid": "one"}), (one, nameless), ({**one, "d": "AA"},)):
        with pytest.raises(AuthFileError):
            reading(*wrong)
