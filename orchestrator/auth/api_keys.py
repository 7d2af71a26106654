"""The operator's list of API keys: a TOML or JSON file that holds hashes only, read again when it changes.

A key is 256 random bits, so a plain SHA-256 keeps it: there is nothing to guess (unlike a password). The file is a
list `keys` of entries like this one, which `bascule token create` prints::

    [[keys]]
    id = "key_k2v5…"
    tenant = "acme"
    subject = "ci"
    scopes = ["eval", "files", "observe"]
    sha256 = "9f86d081884c7d65…"
    limits = { eval_timeout_s = 10 }
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import time
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal, NamedTuple

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.auth.chain import refusal
from orchestrator.auth.dev_token import digest_of
from orchestrator.auth.rereading import AuthFileError, Reread, text_of
from orchestrator.core.principal import TENANT, Principal
from replwire.limits import LIMITS

KEY_PREFIX: Final = "bsk_"
KEY_BYTES: Final = 32
DEFAULT_SCOPES: Final = ("eval", "files", "observe")
AUTHORITY: Final = "keys"
"""Of every principal that an API key proves."""

_NO_DIGEST: Final = bytes(32)

_log = structlog.get_logger("bascule.auth")

Name = Annotated[str, Field(pattern=TENANT.replace(r"\Z", "$"))]


class KeyEntry(BaseModel):
    """One key of the file, as the operator wrote it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Name
    tenant: Name
    subject: Name
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: tuple[Literal["eval", "files", "observe", "admin"], ...] = ("eval", "files", "observe")
    limits: dict[str, Annotated[int, Field(ge=0)]] = {}
    disabled: bool = False


class _KeyFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: tuple[KeyEntry, ...] = ()


def read_keys(path: Path) -> tuple[KeyEntry, ...]:
    """The entries of a file; raises `AuthFileError`."""
    return _entries(path, text_of(path))


def _entries(path: Path, text: str) -> tuple[KeyEntry, ...]:
    try:
        raw = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        entries = _KeyFile.model_validate(raw).keys
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise AuthFileError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise AuthFileError(f"{path}: {error}") from None
    _check_entries(path, entries)
    return entries


def _check_entries(path: Path, entries: tuple[KeyEntry, ...]) -> None:
    for name in ("id", "sha256"):
        values = [getattr(entry, name) for entry in entries]
        if len(set(values)) != len(values):
            raise AuthFileError(f"{path}: two keys have the same {name}")
    unknown = {limit for entry in entries for limit in entry.limits} - set(LIMITS)
    if unknown:
        raise AuthFileError(f"{path}: no limit has the name {min(unknown)!r}")


class _Keys(NamedTuple):
    by_digest: Mapping[bytes, tuple[bytes, Principal]]
    by_id: Mapping[str, Principal]


class ApiKeys:
    """An Authenticator over the operator's file; one that can't be used any more leaves the last good list in force."""

    def __init__(self, path: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._file = Reread(path, _keys_of, monotonic=monotonic)
        if not self._file.content.by_id:
            _log.warning("keys missed", file=str(path), meaning="it holds no key that is in force: nobody can connect")

    def authenticate(self, token: str) -> Principal:
        """The key's Principal; raises `unauthenticated`."""
        digest = digest_of(token)
        known, principal = self._file.content.by_digest.get(digest, (_NO_DIGEST, None))
        if not hmac.compare_digest(digest, known) or principal is None:
            raise refusal()
        return principal

    def stands(self, principal: Principal) -> bool:
        """Whether the file still says of a key what it said when the key was shown."""
        return principal.authority == AUTHORITY and self._file.content.by_id.get(principal.credential) == principal


def _keys_of(path: Path) -> _Keys:
    in_force = [entry for entry in read_keys(path) if not entry.disabled]
    by_id = {entry.id: _principal_of(entry) for entry in in_force}
    digests = [(bytes.fromhex(entry.sha256), by_id[entry.id]) for entry in in_force]
    return _Keys({digest: (digest, principal) for digest, principal in digests}, by_id)


def _principal_of(entry: KeyEntry) -> Principal:
    limits = MappingProxyType(dict(entry.limits))
    return Principal(
        entry.tenant, entry.subject, frozenset(entry.scopes), limits, credential=entry.id, authority=AUTHORITY
    )


def new_key(tenant: str, subject: str, scopes: tuple[str, ...] = DEFAULT_SCOPES) -> tuple[str, KeyEntry]:
    """A fresh key, which is shown once, and its entry for the file; raises `ValidationError` for a bad name."""
    key = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
    fields = {"id": f"key_{secrets.token_hex(8)}", "tenant": tenant, "subject": subject, "scopes": scopes}
    return key, KeyEntry.model_validate({**fields, "sha256": digest_of(key).hex()})


def entry_text(entry: KeyEntry) -> str:
    """The entry as TOML, to be appended to the file. Names and scopes need no escapes: their pattern sees to it."""
    scopes = ", ".join(f'"{scope}"' for scope in entry.scopes)
    lines = (f'{name} = "{getattr(entry, name)}"' for name in ("id", "tenant", "subject", "sha256"))
    return "\n".join(("[[keys]]", *lines, f"scopes = [{scopes}]")) + "\n"


def append_entry(path: Path, entry: KeyEntry) -> None:
    """Add an entry to a TOML file, made (mode 0600) if absent; raises `AuthFileError`, and then nothing was written."""
    if path.suffix == ".json":
        raise AuthFileError(f"{path}: only a TOML file can be added to")
    text = "\n" + entry_text(entry)
    # What is there and what is added may each be fine alone: after `keys = []` no `[[keys]]` can follow.
    _entries(path, (text_of(path) if path.exists() else "") + text)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise AuthFileError(f"{path}: {error.strerror}") from None
