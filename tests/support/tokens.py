"""An issuer of tokens for tests: its keys in files as an operator has them, and tokens good and bad."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from functools import cache
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from orchestrator.auth.jwt_config import JwtConfig

ISSUER = "https://id.example.com"
AUDIENCE = "bascule"


@cache
def key_of(algorithm: str, name: str) -> Any:
    """A private key or secret; the same for the same name, because an RSA key takes its time."""
    match algorithm:
        case "RS256":
            return rsa.generate_private_key(65537, 2048)
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
    return secrets.token_hex(32)


class Issuer:
    """One key of one algorithm, in `folder`: `key.pem` (private), `public.pem` or `secret`, and `jwks.json`."""

    def __init__(self, folder: Path, algorithm: str = "RS256", kid: str = "one") -> None:
        self.folder = folder
        self.algorithm = algorithm
        self.kid = kid
        self.key = key_of(algorithm, kid)
        folder.mkdir(exist_ok=True)
        self._write()

    def _write(self) -> None:
        if self.algorithm == "HS256":
            (self.folder / "secret").write_text(self.key + "\n")
            (self.folder / "key.pem").write_text(self.key)
        else:
            private = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            (self.folder / "key.pem").write_bytes(private)
            (self.folder / "public.pem").write_bytes(self.public_pem())
        self.write_jwks(self)

    def public_pem(self) -> bytes:
        """The public key, which is no secret."""
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def public_der(self) -> bytes:
        """The same in the other form."""
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def jwk(self) -> dict[str, Any]:
        """The key as a set of keys has it."""
        algorithm = jwt.get_algorithm_by_name(self.algorithm)
        key = self.key if self.algorithm == "HS256" else self.key.public_key()
        return {**algorithm.to_jwk(key, as_dict=True), "kid": self.kid, "alg": self.algorithm, "use": "sig"}

    def write_jwks(self, *issuers: Issuer) -> None:
        """The set of keys becomes those of these issuers."""
        text = json.dumps({"keys": [issuer.jwk() for issuer in issuers]})
        # Renamed into place, as a mounted secret is: never is half a file seen.
        aside = self.folder / "jwks.new"
        aside.write_text(text)
        aside.rename(self.folder / "jwks.json")

    def config(self, source: str = "", **more: Any) -> JwtConfig:
        """The server's entry for it."""
        source = source or ("secret_file" if self.algorithm == "HS256" else "key_file")
        name = {"secret_file": "secret", "key_file": "public.pem", "jwks_file": "jwks.json"}[source]
        fields = {"issuer": ISSUER, "audience": AUDIENCE, "algorithm": self.algorithm, source: self.folder / name}
        return JwtConfig.model_validate({**fields, **more})

    def config_at(self, url: str, **more: Any) -> JwtConfig:
        """The server's entry for it, with its keys at an address."""
        fields = {"issuer": ISSUER, "audience": AUDIENCE, "algorithm": self.algorithm, "jwks_url": url}
        return JwtConfig.model_validate({**fields, **more})

    def toml(self, config: JwtConfig | None = None, **more: str) -> str:
        """The same as a table of a settings file."""
        fields = (config or self.config(**more)).model_dump(mode="json", exclude_defaults=True)
        return "\n".join(["[[auth.jwt]]", *(f"{name} = {json.dumps(value)}" for name, value in fields.items())]) + "\n"

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Good ones, with changes; a change to `None` leaves a claim out."""
        now = int(time.time())
        claims = {
            "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 600, "sub": "ann", "tenant": "acme",
            "scope": "eval files observe", "jti": secrets.token_hex(8), **changed,
        }  # fmt: skip
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Signed by the key; `header` adds to the header or replaces in it."""
        header = {"typ": "JWT", "alg": self.algorithm, "kid": self.kid, **(header or {})}
        return self.sign(header, self.claims(**claims))

    def sign(self, header: dict[str, Any] | str, claims: dict[str, Any] | str) -> str:
        """What no library would sign: any header and claims, and text as it is."""
        head, body = (text if isinstance(text, str) else json.dumps(text) for text in (header, claims))
        signed = f"{part(head)}.{part(body)}"
        return f"{signed}.{part(self._signature(signed.encode()))}"

    def _signature(self, signed: bytes) -> bytes:
        match self.algorithm:
            case "RS256":
                return self.key.sign(signed, padding.PKCS1v15(), SHA256())
            case "ES256" | "EdDSA":
                return jwt.get_algorithm_by_name(self.algorithm).sign(signed, self.key)
        return hmac_signature(self.key.encode(), signed)


def hmac_signature(key: bytes, signed: bytes) -> bytes:
    """By HS256."""
    return hmac.digest(key, signed, hashlib.sha256)


def part(content: str | bytes) -> str:
    """Base64url without padding."""
    raw = content if isinstance(content, bytes) else content.encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Ticking:
    """A clock that is moved by hand."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time."""
        return self.now
