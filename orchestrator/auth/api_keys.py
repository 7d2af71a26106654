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
from typing import Annotated, Final, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.auth.chain import refusal
from orchestrator.auth.dev_token import digest_of
from orchestrator.core.principal import Principal
from replwire.limits import LIMITS

KEY_PREFIX: Final = "bsk_"
KEY_BYTES: Final = 32
DEFAULT_SCOPES: Final = ("eval", "files", "observe")
LOOK_AGAIN_S: Final = 1.0
"""How often, at most, the file is looked at; so a key removed from it is refused this long after, at the latest."""
FILE_BYTES_MAX: Final = 16 * 1024 * 1024

_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$"
_NO_DIGEST: Final = bytes(32)

_log = structlog.get_logger("bascule.auth")

Name = Annotated[str, Field(pattern=_NAME)]


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


class KeysFileError(Exception):
    """The list of API keys can't be used; the message names the file, the entry and the field."""


def read_keys(path: Path) -> tuple[KeyEntry, ...]:
    """The entries of a file; raises `KeysFileError`."""
    return _entries(path, _text_of(path))


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise KeysFileError(f"{path}: over {FILE_BYTES_MAX} bytes")
        return content.decode("utf-8")
    except OSError as error:
        raise KeysFileError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise KeysFileError(f"{path}: {error}") from None


def _entries(path: Path, text: str) -> tuple[KeyEntry, ...]:
    try:
        raw = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        entries = _KeyFile.model_validate(raw).keys
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise KeysFileError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise KeysFileError(f"{path}: {error}") from None
    _check_entries(path, entries)
    return entries


def _check_entries(path: Path, entries: tuple[KeyEntry, ...]) -> None:
    for name in ("id", "sha256"):
        values = [getattr(entry, name) for entry in entries]
        if len(set(values)) != len(values):
            raise KeysFileError(f"{path}: two keys have the same {name}")
    unknown = {limit for entry in entries for limit in entry.limits} - set(LIMITS)
    if unknown:
        raise KeysFileError(f"{path}: no limit has the name {min(unknown)!r}")


class ApiKeys:
    """An Authenticator over the operator's file; one that can't be used any more leaves the last good list in force."""

    def __init__(self, path: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._monotonic = monotonic
        self._stamp = _stamp(path)
        self._principals = _by_digest(read_keys(path))
        self._look_at = monotonic() + LOOK_AGAIN_S
        if not self._principals:
            _log.warning("keys missed", file=str(path), meaning="it holds no key that is in force: nobody can connect")

    def authenticate(self, token: str) -> Principal:
        """The key's Principal; raises `unauthenticated`."""
        self._refresh()
        digest = digest_of(token)
        known, principal = self._principals.get(digest, (_NO_DIGEST, None))
        if not hmac.compare_digest(digest, known) or principal is None:
            raise refusal()
        return principal

    def _refresh(self) -> None:
        if self._monotonic() < self._look_at:
            return
        self._look_at = self._monotonic() + LOOK_AGAIN_S
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._principals = _by_digest(read_keys(self._path))
            _log.info("keys read", count=len(self._principals))
        except KeysFileError as error:
            _log.error("keys refused", cause=str(error), kept=len(self._principals))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _by_digest(entries: tuple[KeyEntry, ...]) -> Mapping[bytes, tuple[bytes, Principal]]:
    found = {}
    for entry in entries:
        if not entry.disabled:
            digest = bytes.fromhex(entry.sha256)
            limits = MappingProxyType(dict(entry.limits))
            found[digest] = digest, Principal(entry.tenant, entry.subject, frozenset(entry.scopes), limits)
    return found


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
    """Add an entry to a TOML file, made (mode 0600) if absent; raises `KeysFileError`, and then nothing was written."""
    if path.suffix == ".json":
        raise KeysFileError(f"{path}: only a TOML file can be added to")
    text = "\n" + entry_text(entry)
    # What is there and what is added may each be fine alone: after `keys = []` no `[[keys]]` can follow.
    _entries(path, (_text_of(path) if path.exists() else "") + text)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise KeysFileError(f"{path}: {error.strerror}") from None
