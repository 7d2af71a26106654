"""Bearer JWT: an issuer's token becomes a Principal, or is refused for a reason that only our own log and
`bascule token inspect` know.

PyJWT does the signature, `crit`, `aud` and `iss`. What it leaves open is closed here: the header chooses nothing but
which of our keys is tried, names twice in one object are refused, and times are whole numbers judged by one clock.
"""

from __future__ import annotations

import hashlib
import re
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import jwt
import structlog

from orchestrator.auth.chain import refusal
from orchestrator.auth.jwks_url import FetchedKeys
from orchestrator.auth.jwt_config import LEEWAY_S, LIFETIME_S_MAX, JwtConfig
from orchestrator.auth.jwt_keys import JwtKey, read_jwt_keys
from orchestrator.auth.rereading import Reread
from orchestrator.core.principal import SCOPES, Principal, is_subject, is_tenant
from orchestrator.ports import ProofUnavailableError
from replwire.envelopes import Json, decode_object
from replwire.errors import WireError
from replwire.limits import LIMITS

DEPTH_MAX: Final = 8
"""Of a token's JSON."""
CREDENTIAL_CHARS_MAX: Final = 256
"""Of a `jti`."""
TIME_MAX: Final = 2**40
"""Seconds; beyond it a number is no time."""

_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_TYPES: Final = (None, "jwt", "at+jwt", "application/at+jwt")
_REFUSED_IN_HEADER: Final = frozenset({"b64", "crit", "cty", "enc", "epk", "jku", "jwk", "x5c", "x5u", "zip"})
"""Keys that a stranger brings along, and forms that are no plain signed token."""

_log = structlog.get_logger("bascule.auth")


class TokenRefusedError(Exception):
    """Why a token is not taken: for our own log and for whoever inspects a token beside the settings."""


class JwtIssuer:
    """An Authenticator for one entry. `now` is the wall clock, `monotonic` paces the looks at the file of keys."""

    def __init__(
        self,
        config: JwtConfig,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self._now = now
        self.fetched = FetchedKeys(config, monotonic=monotonic) if config.jwks_url is not None else None
        """The keys, if somebody has to fetch them: see `KeyRounds`."""
        self._source = self.fetched or Reread(config.file, lambda _: read_jwt_keys(config), monotonic=monotonic)

    def authenticate(self, token: str) -> Principal:
        """The token's Principal; raises `unauthenticated`, or `ProofUnavailableError` while there are no keys."""
        try:
            return self.verify(token)
        except TokenRefusedError as error:
            _log.debug("jwt refused", issuer=self.config.issuer, cause=str(error))
            raise refusal() from None

    def stands(self, principal: Principal) -> bool:
        """Whether it has not expired, and the key that vouched for it is still one of ours."""
        if principal.expires_at <= self._now():
            return False
        keys = self._source.content
        return keys is not None and any(principal.authority == self._authority(key) for key in keys.all)

    def _authority(self, key: JwtKey) -> str:
        return f"jwt {self.config.issuer} {key.name}"

    def verify(self, token: str) -> Principal:
        """The token's Principal; raises `TokenRefusedError` and `ProofUnavailableError`."""
        header = read_header(token)
        if header.get("alg") != self.config.algorithm:
            raise TokenRefusedError(f"it is not signed by {self.config.algorithm}, the algorithm of this issuer's keys")
        key = self._key(token, header.get("kid"))
        claims = self._signed_claims(token, key)
        expires_at = _checked_times(claims, self._now())
        return self._principal(token, claims, key, expires_at)

    def _key(self, token: str, kid: object) -> JwtKey:
        keys = self._source.content
        if keys is None and read_claims(token).get("iss") == self.config.issuer:
            raise ProofUnavailableError(f"the keys of {self.config.issuer} can't be had now")
        key = keys.find(kid) if keys is not None else None
        if key is not None:
            return key
        if self.fetched is not None:
            self.fetched.want()
        raise TokenRefusedError("no key of ours has its `kid`")

    def _signed_claims(self, token: str, key: JwtKey) -> Json:
        config = self.config
        try:
            jwt.decode(
                token, key.key, algorithms=[config.algorithm], audience=config.audience, issuer=config.issuer,
                options={
                    "require": ["aud", "exp", "iss"], "strict_aud": True, "verify_exp": False, "verify_iat": False,
                    "verify_nbf": False, "verify_sub": False,
                },
            )  # fmt: skip
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise TokenRefusedError(_words(error)) from None
        return read_claims(token)

    def _principal(self, token: str, claims: Json, key: JwtKey, expires_at: float) -> Principal:
        config = self.config
        tenant, subject = claims.get(config.tenant_claim), claims.get(config.subject_claim)
        if not is_tenant(tenant):
            raise TokenRefusedError(f"its claim {config.tenant_claim!r} is no tenant's name")
        if not is_subject(subject):
            raise TokenRefusedError(f"its claim {config.subject_claim!r} is no subject's name")
        return Principal(
            str(tenant), str(subject), _scopes(claims.get(config.scopes_claim, ""), config.scopes_claim),
            _limits(claims.get(config.limits_claim, {}), config.limits_claim),
            credential=_credential(token, claims), authority=self._authority(key), expires_at=expires_at,
        )  # fmt: skip


def read_header(token: str) -> Json:
    """The header of a plain signed token, of which nothing is proved yet; raises `TokenRefusedError`."""
    if not _COMPACT.fullmatch(token):
        raise TokenRefusedError("it is no signed token in the compact form: three parts of base64url and two dots")
    header = _json_part(token, 0)
    refused = _REFUSED_IN_HEADER.intersection(header)
    if refused:
        raise TokenRefusedError(f"its header says {min(refused)!r}, which is not taken from anybody")
    typ = header.get("typ")
    if typ is not None and (not isinstance(typ, str) or typ.lower() not in _TYPES):
        raise TokenRefusedError("its `typ` is not that of an access token")
    return header


def read_claims(token: str) -> Json:
    """What a token claims, of which nothing is proved yet; raises `TokenRefusedError`."""
    return _json_part(token, 1)


def _json_part(token: str, number: int) -> Json:
    part = token.split(".")[number]
    try:
        text = urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode("utf-8")
        return decode_object(text, depth_max=DEPTH_MAX)
    except (ValueError, WireError) as error:
        raise TokenRefusedError(f"part {number + 1} can't be read: {error}") from None


def _words(error: Exception) -> str:
    match error:
        case jwt.InvalidAudienceError() | jwt.MissingRequiredClaimError(claim="aud"):
            return "its `aud` is not this server's `audience`, as one string"
        case jwt.InvalidIssuerError() | jwt.MissingRequiredClaimError(claim="iss"):
            return "its `iss` is not this `issuer`"
        case jwt.InvalidSignatureError():
            return "its signature is not by the key of this issuer"
        case _:
            return str(error)


def _checked_times(claims: Json, now: float) -> float:
    """When it ends, leeway included; raises `TokenRefusedError` when it has not begun, has ended or lives too long."""
    expires = _time(claims, "exp")
    begins = [_time(claims, name) for name in ("nbf", "iat") if name in claims]
    if expires + LEEWAY_S <= now:
        raise TokenRefusedError(f"it expired {now - expires:.0f} s ago")
    if any(begin - LEEWAY_S > now for begin in begins):
        raise TokenRefusedError("its `nbf` or `iat` lies in the future")
    since = claims.get("iat", now)
    if expires - since > LIFETIME_S_MAX:
        raise TokenRefusedError(f"it lives longer than {LIFETIME_S_MAX} s")
    return float(expires + LEEWAY_S)


def _time(claims: Json, name: str) -> int:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= TIME_MAX:
        raise TokenRefusedError(f"its `{name}` is no time in whole Unix seconds")
    return value


def _scopes(value: Any, claim: str) -> frozenset[str]:
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise TokenRefusedError(f"its claim {claim!r} is neither words in one string nor a list of strings")
    return frozenset(SCOPES).intersection(words)


def _limits(value: Any, claim: str) -> Mapping[str, int]:
    if not isinstance(value, dict):
        raise TokenRefusedError(f"its claim {claim!r} is no object of limits")
    for name, number in value.items():
        # One that we do not know could not be kept: better no entry than one without its limit.
        if name not in LIMITS or isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise TokenRefusedError(f"its claim {claim!r} has a limit that is unknown or no whole number")
    return MappingProxyType(value)


def _credential(token: str, claims: Json) -> str:
    jti = claims.get("jti")
    if jti is None:
        return f"sha256:{hashlib.sha256(token.encode()).hexdigest()[:16]}"
    if not isinstance(jti, str) or not (1 <= len(jti) <= CREDENTIAL_CHARS_MAX and jti.isprintable()):
        raise TokenRefusedError("its `jti` is no printable text of a usable length")
    return jti
