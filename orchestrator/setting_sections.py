"""The sections of the settings: what each may hold, and within which bounds."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, SecretStr, create_model
from pydantic import Field as Setting

from orchestrator.auth.jwt_config import JwtConfig
from orchestrator.core.sandbox import MIB, SandboxSpec
from orchestrator.engine.configuration import EngineConfig
from orchestrator.stores.limits import OBJECT_BYTES_MIN, StoreLimits
from orchestrator.transports.configuration import ChannelConfig, HttpConfig

__all__ = ["Auth", "Blobs", "Bubblewrap", "Channel", "Docker", "Engine", "Keys", "Log", "Redis", "Sandbox", "Server"]

MEMORY_BYTES_MIN: Final = 32 * MIB
"""Of a worker: with less its interpreter does not come up."""
PORT_MAX: Final = 65535
STORE_LIMITS: Final = StoreLimits()
"""As they are by default."""

_COUNTED: Final = Setting(ge=0)
_MEASURED: Final = Setting(gt=0, allow_inf_nan=False)
"""Times and shares: with an interval of 0 a round never ends, with a time-out of 0 nobody is in time."""
_BOUNDS: Final = {
    "port": Setting(ge=0, le=PORT_MAX),
    "metrics_port": Setting(ge=0, le=PORT_MAX),
    "memory_bytes": Setting(ge=MEMORY_BYTES_MIN),
    "refill_at_once": Setting(ge=1),
    "request_burst_max": Setting(ge=1),
}
"""Where a value outside would start a server that cannot serve."""
_STRICT: Final = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _section(kind: type, *left_out: str) -> type[BaseModel]:
    """A section that holds the fields of a frozen dataclass, with its defaults."""
    hints = get_type_hints(kind)
    taken: dict[str, Any] = {
        item.name: (_bounded(item.name, hints[item.name]), _default(item))
        for item in fields(kind)
        if item.name not in left_out
    }
    return create_model(f"{kind.__name__}Section", __config__=_STRICT, **taken)


def _bounded(name: str, hint: Any) -> Any:
    """Sizes and counts are never negative, times are longer than nothing, and some have bounds of their own."""
    if hint is float:
        return Annotated[hint, _MEASURED]
    return Annotated[hint, _BOUNDS.get(name, _COUNTED)] if hint in (int, int | None) else hint


def _default(item: Field[Any]) -> Any:
    return item.default_factory() if item.default_factory is not MISSING else item.default


if TYPE_CHECKING:
    from pydantic import BaseModel as Channel
    from pydantic import BaseModel as Engine
    from pydantic import BaseModel as Sandbox
    from pydantic import BaseModel as Server
else:
    Server = _section(HttpConfig, "channel", "limits")
    Channel = _section(ChannelConfig, "envelope_bytes_max")
    Engine = _section(EngineConfig, "limits", "sandbox", "stamp_key", "seal_key", "export_key")
    Sandbox = _section(SandboxSpec, "worker", "labels")


class Auth(BaseModel):
    """Who may connect."""

    model_config = _STRICT
    dev_token: SecretStr | None = None
    keys_file: Path | None = None
    jwt: tuple[JwtConfig, ...] = ()
    """Issuers of tokens, each a table `[[auth.jwt]]` of the file."""
    revocations_file: Path | None = None
    """Tokens, keys, subjects and tenants that are refused (TOML: `tokens`, `subjects`, `tenants`)."""


class Docker(BaseModel):
    """The runtime `docker`."""

    model_config = _STRICT
    host: str | None = None
    runtime: str | None = None
    """The engine's own runtime for workers; `runsc` is gVisor."""


class Bubblewrap(BaseModel):
    """The runtime `bubblewrap`."""

    model_config = _STRICT
    python: Path | None = None


class Redis(BaseModel):
    """The store."""

    model_config = _STRICT
    url: SecretStr | None = None
    password: SecretStr | None = None
    states_kept: Annotated[int, Setting(ge=1)] = STORE_LIMITS.states_kept
    """Last states of a session that it may go back to or be forked from, the current one included. Each costs what
    changed since the one before."""
    pins_max: Annotated[int, _COUNTED] = STORE_LIMITS.pins_max
    """States of a session that are kept under a name."""
    lineage_max: Annotated[int, Setting(ge=1)] = STORE_LIMITS.lineage_max
    """Sessions that share what they hold: a session and its forks. One more is a copy, which shares nothing."""


class Blobs(BaseModel):
    """Where large parts of sessions' states lie."""

    model_config = _STRICT
    folder: Path | None = None
    """A folder that all front doors share; without one everything is in Redis. Once set, it is part of the store: keep
    it, and back it up, with Redis."""
    min_bytes: Annotated[int, _COUNTED] = OBJECT_BYTES_MIN
    """Parts of that size and more go there."""


class Keys(BaseModel):
    """Keys that all front doors share."""

    model_config = _STRICT
    stamp: SecretStr | None = None
    seal: SecretStr | None = None
    export: SecretStr | None = None
    """Seals the files of exported sessions; shared by the installations that they move between."""


class Log(BaseModel):
    """What is written to stderr."""

    model_config = _STRICT
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"
