"""Makes a JWT, for tests and for machines that have no identity provider; the key says by which algorithm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from orchestrator.auth.jwt_config import LIFETIME_S_MAX
from orchestrator.auth.jwt_keys import JWKS_BYTES_MAX, RSA_BITS_MIN, checked_secret
from orchestrator.auth.rereading import AuthFileError, text_of
from orchestrator.core.principal import is_subject, is_tenant

TTL_S: Final = 3600
"""Of a token for which nothing else is asked."""


class MintError(ValueError):
    """No server would take such a token; the message names the argument."""


def signing_key(path: Path) -> tuple[str, Any]:
    """The algorithm and the key of a file: a private key as PEM, or a secret. Raises `AuthFileError`."""
    text = text_of(path, JWKS_BYTES_MAX)
    if not text.startswith("-----BEGIN"):
        return "HS256", checked_secret(path, text)
    try:
        key = load_pem_private_key(text.encode("utf-8"), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise AuthFileError(f"{path}: no private key as PEM that can be read without a password: {error}") from None
    match key:
        case RSAPrivateKey() if key.key_size >= RSA_BITS_MIN:
            return "RS256", key
        case EllipticCurvePrivateKey(curve=SECP256R1()):
            return "ES256", key
        case Ed25519PrivateKey():
            return "EdDSA", key
        case _:
            raise AuthFileError(f"{path}: take RSA of {RSA_BITS_MIN} bits or more, P-256 or Ed25519")


def mint(
    key_file: Path, *, tenant: str, subject: str, scopes: Sequence[str], issuer: str, audience: str, ttl_s: int,
    now: int, jti: str, kid: str | None = None,
) -> str:  # fmt: skip
    """A token by the default names of claims; raises `MintError` or `AuthFileError`."""
    if not is_tenant(tenant):
        raise MintError("--tenant: letters, digits and ._@- only, 128 at most")
    if not is_subject(subject):
        raise MintError("--subject: letters, digits and ._@|:+/=- only, 128 at most")
    if not 1 <= ttl_s <= LIFETIME_S_MAX:
        raise MintError(f"--ttl: 1 to {LIFETIME_S_MAX} seconds")
    algorithm, key = signing_key(key_file)
    claims = {
        "iss": issuer, "aud": audience, "sub": subject, "tenant": tenant, "scope": " ".join(scopes), "iat": now,
        "exp": now + ttl_s, "jti": jti,
    }  # fmt: skip
    return jwt.encode(claims, key, algorithm, headers={"kid": kid} if kid else None)
