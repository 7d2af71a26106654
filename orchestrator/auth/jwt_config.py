"""`[[auth.jwt]]`: one issuer of tokens, whose they are meant to be, and which keys vouch for them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from orchestrator.core.hosts import is_loopback

Algorithm = Literal["HS256", "RS256", "ES256", "EdDSA"]

LEEWAY_S: Final = 30
"""How far our clock and an issuer's may be apart."""
LIFETIME_S_MAX: Final = 24 * 3600
"""From `iat` (or now) to `exp`; a token that lives longer is refused."""

_Text = Annotated[str, Field(min_length=1, max_length=512)]
_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class JwtConfig(BaseModel):
    """One issuer. Exactly one of `key_file`, `jwks_file`, `jwks_url` and `secret_file`; one algorithm for its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    issuer: _Text
    audience: _Text
    algorithm: Algorithm
    key_file: Path | None = None
    """A public key as PEM."""
    jwks_file: Path | None = None
    """A set of keys as JSON (RFC 7517); a token's `kid` picks one."""
    jwks_url: _Text | None = None
    """The same at an address of the issuer: https, or http on this machine. Fetched in rounds, never for a token."""
    jwks_ca_file: Path | None = None
    """Authorities (PEM) that vouch for that address, in the place of those that this machine knows."""
    jwks_refresh_s: _Seconds = 240.0
    """Between rounds: a key that is gone from the set is refused this long after, at the latest."""
    jwks_again_s: _Seconds = 30.0
    """The shortest time between rounds, after a failure or when a token names a key that is not in the set."""
    jwks_timeout_s: _Seconds = 5.0
    """How long one round may take."""
    jwks_stale_s_max: _Seconds = 86400.0
    """How long the last good set holds while the address is away; then tokens of this issuer are answered 503."""
    secret_file: Path | None = None
    """For HS256: the secret that issuer and server share."""
    tenant_claim: _Text = "tenant"
    subject_claim: _Text = "sub"
    scopes_claim: _Text = "scope"
    """Words in one string, or a list of strings; words that are no scope of ours give nothing."""
    limits_claim: _Text = "limits"
    """Lower limits by name, as an object of whole numbers."""

    @model_validator(mode="after")
    def _one_source(self) -> JwtConfig:
        given = [one for one in (self.key_file, self.jwks_file, self.jwks_url, self.secret_file) if one is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of key_file, jwks_file, jwks_url and secret_file")
        is_public = self.key_file is not None or self.jwks_url is not None
        if (is_public and self.algorithm == "HS256") or (self.secret_file and self.algorithm != "HS256"):
            raise ValueError("secret_file is for HS256, key_file and jwks_url for the other algorithms")
        return self

    @model_validator(mode="after")
    def _rounds_in_order(self) -> JwtConfig:
        if not self.jwks_again_s <= self.jwks_refresh_s <= self.jwks_stale_s_max:
            raise ValueError("jwks_again_s is at most jwks_refresh_s, and that at most jwks_stale_s_max")
        return self

    @field_validator("jwks_url")
    @classmethod
    def _safe_address(cls, url: str | None) -> str | None:
        if url is not None:
            _check_address(url)
        return url

    @property
    def file(self) -> Path:
        """Where the keys are, when they are not at an address."""
        found = self.key_file or self.jwks_file or self.secret_file
        assert found is not None
        return found


def _check_address(url: str) -> None:
    """Whoever can change what comes from there can let himself in: nobody on the way may, and nobody reads along."""
    parts = urlsplit(url)
    if not parts.hostname or parts.scheme not in ("http", "https"):
        raise ValueError("give an address that begins with https://")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("keys come over https; over http only from this machine")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("an address of keys has no user, no password and no fragment")
