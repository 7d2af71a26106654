"""Where the server is and who we are: arguments first, then the environment, then defaults."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from bascule.errors import AuthenticationError, SettingsError

DEFAULT_URL: Final = "ws://127.0.0.1:8765"
URL_VARIABLE: Final = "BASCULE_API_URL"
KEY_VARIABLE: Final = "BASCULE_API_KEY"
KEY_FILE_VARIABLE: Final = "BASCULE_API_KEY_FILE"

_SCHEMES: Final = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}

ApiKey = str | Callable[[], str]


@dataclass(frozen=True, slots=True)
class Settings:
    """What a client is told once. Times are seconds."""

    api_key: ApiKey
    """Sent as a Bearer token: an API key, a JWT, the development token; or what is called for one at each connection,
    for tokens that live shorter than a session."""
    url: str = DEFAULT_URL
    """Of the server, without `/v1/ws`; `http` and `https` mean `ws` and `wss`."""
    connect_timeout_s: float = 10.0
    """For one try to connect, up to the answer to `open` or `attach`."""
    request_timeout_s: float = 60.0
    """For the answer to everything but evals, whose time the server limits."""
    reconnect_timeout_s: float = 60.0
    """How long a lost connection is tried again in all; beyond it open requests fail. 0: it is not tried."""
    reconnect_first_s: float = 0.1
    """Upper bound of the wait before the first try; it doubles with each."""
    reconnect_delay_max_s: float = 5.0
    """Upper bound of any such wait, unless the server asks for a longer one."""
    heartbeat_s: float = 10.0
    """Silence after which the server is pinged; half of it later the connection counts as lost."""
    buffer_bytes_max: int = 32 * 1024 * 1024
    """Output that waits in this process for a caller that does not read; beyond it nothing more is received."""
    message_bytes_max: int = 64 * 1024 * 1024
    """Of one message from the server."""

    @property
    def token(self) -> str:
        """The key to send now."""
        return _checked_key(self.api_key() if callable(self.api_key) else self.api_key)

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not callable(self.api_key):
            _checked_key(self.api_key)
        object.__setattr__(self, "url", _checked_url(self.url))
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} is greater than 0")
        if self.reconnect_timeout_s < 0:
            raise SettingsError("reconnect_timeout_s is not negative")


_POSITIVE: Final = (
    "connect_timeout_s", "request_timeout_s", "reconnect_first_s", "reconnect_delay_max_s", "heartbeat_s",
    "buffer_bytes_max", "message_bytes_max",
)  # fmt: skip


def read_settings(
    api_key: ApiKey | None = None, url: str | None = None, environment: Mapping[str, str] = os.environ, **more: Any
) -> Settings:
    """An argument beats the environment, which beats the default. Raises `AuthenticationError`, `SettingsError`."""
    key = api_key if api_key is not None else _key_of(environment)
    base = Settings(
        api_key=key if callable(key) else key.strip(), url=url or environment.get(URL_VARIABLE) or DEFAULT_URL
    )
    unknown = set(more) - set(Settings.__dataclass_fields__)
    if unknown:
        raise SettingsError(f"no setting has the name {sorted(unknown)[0]!r}")
    return replace(base, **more)


def _key_of(environment: Mapping[str, str]) -> str:
    if key := environment.get(KEY_VARIABLE):
        return key
    path = environment.get(KEY_FILE_VARIABLE)
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{KEY_FILE_VARIABLE}: {error}") from None


def _checked_key(key: str) -> str:
    if not key:
        raise AuthenticationError(f"no API key: pass api_key=… or set {KEY_VARIABLE}")
    if not (key.isascii() and key.isprintable()):
        raise SettingsError("the API key has characters that no API key has (a line end?)")
    return key


def _checked_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise SettingsError(f"the URL {text!r} is malformed: {error}") from None
    if parts.scheme not in _SCHEMES or not parts.hostname or port == 0:
        raise SettingsError(f"the URL {text!r} is not like ws://host:port or wss://host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise SettingsError("the URL has a name, a password or a query in it; the API key is a setting of its own")
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, parts.path.rstrip("/"), "", ""))
