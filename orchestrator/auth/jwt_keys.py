"""The keys of an issuer, as a file or an address has them: each good for the algorithm of its entry and no other.

What cannot be used safely is refused when it is read, not when a token comes: a secret that is too short, a public
key in the place of a secret, a private key in the place of a public one, a weak one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from orchestrator.auth.jwt_config import JwtConfig
from orchestrator.auth.rereading import AuthFileError, text_of
from replwire.envelopes import decode_object
from replwire.errors import WireError

SECRET_BYTES_MIN: Final = 32
"""Of a secret for HS256: as long as its hash (RFC 7518, section 3.2)."""
SECRET_SIGNS_MIN: Final = 8
"""Different bytes in a secret; a phrase of one letter is long and still none."""
RSA_BITS_MIN: Final = 2048
"""RFC 7518, section 3.3."""
JWKS_BYTES_MAX: Final = 1024 * 1024
JWKS_DEPTH_MAX: Final = 8
KEYS_MAX: Final = 100
"""In one set."""
KID_CHARS_MAX: Final = 256

Where = Path | str
"""The file or the address that an error names."""

_KINDS: Final = {"HS256": "oct", "RS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}


class JwtKey(NamedTuple):
    """One key: its name for the authority of a principal, and what verifies a signature."""

    name: str
    key: Any


class JwtKeys(NamedTuple):
    """Those of one file or address. `by_kid` is empty for one that holds one key without a name."""

    all: tuple[JwtKey, ...]
    by_kid: Mapping[str, JwtKey]

    def find(self, kid: object) -> JwtKey | None:
        """The key that a token's `kid` picks; a token without one may pick the only key there is."""
        if self.by_kid and kid is not None:
            return self.by_kid.get(kid) if isinstance(kid, str) and len(kid) <= KID_CHARS_MAX else None
        return self.all[0] if len(self.all) == 1 else None


def read_jwt_keys(config: JwtConfig) -> JwtKeys:
    """The keys of an entry whose keys are in a file; raises `AuthFileError`."""
    path = config.file
    if config.jwks_file is not None:
        return read_jwks(path, text_of(path, JWKS_BYTES_MAX), config.algorithm)
    text = text_of(path, JWKS_BYTES_MAX)
    if config.secret_file is not None:
        found = JwtKey(_name_of(text.encode()), checked_secret(path, text))
    else:
        found = JwtKey(_name_of(text.encode()), _checked_public(path, _pem(path, text), config.algorithm))
    return JwtKeys((found,), {})


def _name_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()[:16]}"


def checked_secret(path: Where, text: str) -> bytes:
    """A secret for HS256, without the white space around it; raises `AuthFileError`."""
    secret = text.strip().encode("utf-8")
    _check_strength(path, secret)
    if secret.startswith((b"-----BEGIN", b"ssh-", b"{")):
        raise AuthFileError(f"{path}: this is a key for other algorithms, and no secret")
    return secret


def _check_strength(path: Where, secret: bytes) -> None:
    if len(secret) < SECRET_BYTES_MIN or len(set(secret)) < SECRET_SIGNS_MIN:
        raise AuthFileError(
            f"{path}: a secret has {SECRET_BYTES_MIN} bytes at least, {SECRET_SIGNS_MIN} of them different: "
            "take `openssl rand -hex 32`"
        )


def _pem(path: Where, text: str) -> Any:
    if "PRIVATE KEY" in text:
        raise AuthFileError(f"{path}: a private key has no place here: give the public one (`openssl pkey -pubout`)")
    try:
        return load_pem_public_key(text.encode("utf-8"))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise AuthFileError(f"{path}: no public key as PEM: {error}") from None


def _checked_public(path: Where, key: Any, algorithm: str) -> Any:
    match algorithm, key:
        case "RS256", RSAPublicKey():
            if key.key_size < RSA_BITS_MIN:
                raise AuthFileError(f"{path}: an RSA key has {RSA_BITS_MIN} bits at least")
        case "ES256", EllipticCurvePublicKey(curve=SECP256R1()):
            pass
        case "EdDSA", Ed25519PublicKey():
            pass
        case _:
            raise AuthFileError(f"{path}: it holds no key for {algorithm}")
    return key


def read_jwks(path: Where, text: str, algorithm: str) -> JwtKeys:
    """The keys of a set (RFC 7517) that are for signatures by this algorithm; raises `AuthFileError`."""
    try:
        rows = decode_object(text, depth_max=JWKS_DEPTH_MAX).get("keys")
    except WireError as error:
        raise AuthFileError(f"{path}: {error.message}") from None
    if not isinstance(rows, list) or len(rows) > KEYS_MAX or not all(isinstance(row, dict) for row in rows):
        raise AuthFileError(f"{path}: a set of keys is an object with `keys`, a list of at most {KEYS_MAX} objects")
    found = [_from_jwk(path, row, algorithm) for row in rows if _is_meant(row, algorithm)]
    if not found:
        raise AuthFileError(f"{path}: it holds no key for {algorithm}")
    by_kid = {kid: key for kid, key in found if kid}
    if len(found) > 1 and len(by_kid) != len(found):
        raise AuthFileError(f"{path}: of several keys each has a `kid` of its own")
    return JwtKeys(tuple(key for _, key in found), by_kid)


def _is_meant(row: Mapping[str, Any], algorithm: str) -> bool:
    """Whether a key of the set is for signatures with our algorithm; others may stand beside it."""
    return (
        row.get("kty") == _KINDS[algorithm]
        and row.get("alg", algorithm) == algorithm
        and row.get("use", "sig") == "sig"
        and (algorithm not in ("ES256", "EdDSA") or row.get("crv") in ("P-256", "Ed25519"))
    )


def _from_jwk(path: Where, row: Mapping[str, Any], algorithm: str) -> tuple[str, JwtKey]:
    kid = row.get("kid", "")
    if not isinstance(kid, str) or len(kid) > KID_CHARS_MAX:
        raise AuthFileError(f"{path}: a `kid` is text of at most {KID_CHARS_MAX} characters")
    try:
        key = jwt.PyJWK(dict(row), algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise AuthFileError(f"{path}: the key {kid!r} can't be used: {error}") from None
    if algorithm == "HS256":
        _check_strength(path, key)
    elif "d" in row:
        raise AuthFileError(f"{path}: the key {kid!r} is a private one: give the public part only")
    else:
        _checked_public(path, key, algorithm)
    return kid, JwtKey(_name_of(repr(sorted(row.items())).encode()), key)
