"""`[[auth.jwt]]`: one issuer of tokens, whose they are meant to be, and which keys vouch for them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Algorithm = Literal["HS256", "RS256", "ES256", "EdDSA"]

LEEWAY_S: Final = 30
"""How far our clock and an issuer's may be apart."""
LIFETIME_S_MAX: Final = 24 * 3600
"""From `iat` (or now) to `exp`; a token that lives longer is refused."""

_Text = Annotated[str, Field(min_length=1, max_length=512)]


class JwtConfig(BaseModel):
    """One issuer. Exactly one of `key_file`, `jwks_file` and `secret_file`; exactly one algorithm for its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    issuer: _Text
    audience: _Text
    algorithm: Algorithm
    key_file: Path | None = None
    """A public key as PEM."""
    jwks_file: Path | None = None
    """A set of keys as JSON (RFC 7517); a token's `kid` picks one."""
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
        given = [path for path in (self.key_file, self.jwks_file, self.secret_file) if path is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of key_file, jwks_file and secret_file")
        if (self.key_file and self.algorithm == "HS256") or (self.secret_file and self.algorithm != "HS256"):
            raise ValueError("secret_file is for HS256, key_file for the other algorithms")
        return self

    @property
    def file(self) -> Path:
        """Where the keys are."""
        found = self.key_file or self.jwks_file or self.secret_file
        assert found is not None
        return found
