"""Keys that all front doors of an installation share: one makes stamps, one seals what goes into the store.

An operator with several front doors gives them as settings. With one, they are made once and kept in a file of the
state folder that only its owner may read: losing it makes the stored sessions unreadable.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Final, NamedTuple

KEY_BYTES: Final = 32
KEY_TEXT_CHARS_MIN: Final = 32
"""Of a key given as text: 32 characters of hex or base64 hold 128 bits at least."""
FILE: Final = "keys"


class InstallationKeys(NamedTuple):
    """Both keys, as bytes."""

    stamp: bytes
    seal: bytes


class InstallationKeysError(Exception):
    """The keys can't be had; the message says why."""


def kept_keys(state_folder: Path) -> InstallationKeys:
    """The keys of a state folder, made at the first call; raises `InstallationKeysError`."""
    path = state_folder / FILE
    try:
        state_folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
        return _read(path)
    except OSError as error:
        raise InstallationKeysError(f"{path}: {error.strerror}") from None


def key_of_text(text: str) -> bytes:
    """A key given as a setting; raises `ValueError` for one that is too short to be random enough."""
    stripped = text.strip()
    if len(stripped) < KEY_TEXT_CHARS_MIN:
        raise ValueError(f"a key has {KEY_TEXT_CHARS_MIN} characters at least: take `openssl rand -hex 32`")
    try:
        key = bytes.fromhex(stripped)
    except ValueError:
        return stripped.encode("utf-8")
    return key if len(key) >= KEY_BYTES else stripped.encode("utf-8")


def _make(path: Path) -> None:
    # Written aside and linked into place: whoever comes at the same time sees all of one file or none.
    aside = path.with_name(f"{FILE}.{secrets.token_hex(8)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{secrets.token_hex(KEY_BYTES)}\n{secrets.token_hex(KEY_BYTES)}\n")
            file.flush()
            os.fsync(file.fileno())
        if not path.exists():
            os.link(aside, path)
    except FileExistsError:
        pass
    finally:
        aside.unlink()


def _read(path: Path) -> InstallationKeys:
    found = path.stat()
    if stat.S_IMODE(found.st_mode) & 0o077 or found.st_uid != os.geteuid():
        raise InstallationKeysError(f"{path} can be read by others: `chmod 600` it, and think about who has read it")
    lines = path.read_text(encoding="ascii").split()
    try:
        stamp, seal = (bytes.fromhex(line) for line in lines)
    except ValueError:
        raise InstallationKeysError(f"{path} does not hold two keys in hex") from None
    if min(len(stamp), len(seal)) < KEY_BYTES:
        raise InstallationKeysError(f"{path} holds a key that is too short")
    return InstallationKeys(stamp, seal)
