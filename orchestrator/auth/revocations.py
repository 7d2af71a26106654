"""What is refused though it would be good: a TOML file of names, read again when it changes.

Each list is optional::

    tokens = ["6a1f…", "key_0c5d…"]      # the `jti` of a token, the id of an API key
    subjects = ["acme/ann"]               # tenant/subject: whatever they show
    tenants = ["globex"]                  # everyone of a tenant
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from orchestrator.auth.rereading import AuthFileError, Reread, text_of
from orchestrator.core.principal import Principal


class Revoked(BaseModel):
    """The file's content."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: frozenset[str] = frozenset()
    subjects: frozenset[str] = frozenset()
    tenants: frozenset[str] = frozenset()


def read_revoked(path: Path) -> Revoked:
    """The lists of a file; raises `AuthFileError`."""
    try:
        return Revoked.model_validate(tomllib.loads(text_of(path)))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise AuthFileError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise AuthFileError(f"{path}: {error}") from None


class Revocations:
    """Asked of every principal; a file that can't be used leaves the last good lists in force."""

    def __init__(self, path: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._file = Reread(path, read_revoked, monotonic=monotonic)

    def __call__(self, principal: Principal) -> bool:
        """Whether it is refused."""
        lists = self._file.content
        return (
            principal.tenant in lists.tenants
            or principal.name in lists.subjects
            or principal.credential in lists.tokens
        )
