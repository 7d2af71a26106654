"""Settings, parsed once into frozen values and handed down in narrow pieces.

Order: flags, then environment (`BASCULE_SECTION__NAME`, for secrets also `BASCULE_SECTION__NAME_FILE`), then the TOML
file, then the defaults. What a section may hold is what the value made from it holds (`HttpConfig`, `EngineConfig`, …),
so that no setting is written down twice. A name that is no setting is an error that says which one was meant.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError
from pydantic import Field as Setting
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, TomlConfigSettingsSource
from pydantic_settings import SettingsError as SourceError

from orchestrator.auth.installation_keys import InstallationKeys, InstallationKeysError, kept_keys, key_of_text
from orchestrator.auth.jwt_config import JwtConfig
from orchestrator.core.hosts import is_loopback
from orchestrator.core.sandbox import SandboxSpec
from orchestrator.engine.configuration import EngineConfig
from orchestrator.setting_sections import (
    Auth,
    Blobs,
    Bubblewrap,
    Channel,
    Docker,
    Engine,
    Keys,
    Log,
    Redis,
    Sandbox,
    Server,
)
from orchestrator.setting_variables import NESTING, PREFIX, misspelt
from orchestrator.transports.configuration import ChannelConfig, HttpConfig
from replwire.limits import LIMITS, default_limits

FILE_SUFFIX: Final = "_file"
SYSTEM_FILE: Final = Path("/etc/bascule/config.toml")
SECRETS: Final = ("auth__dev_token", "redis__password", "redis__url", "keys__stamp", "keys__seal", "keys__export")
"""Settings that may be given as a file's content, by the same name and `_FILE`."""


class SettingsError(Exception):
    """Settings that can't be used: each line names one and says what to do."""


class Settings(BaseSettings):
    """All settings. Build one with `load`; the parts of the server get only what the methods below make."""

    model_config = {
        "frozen": True, "extra": "forbid", "hide_input_in_errors": True,
        "env_prefix": PREFIX, "env_nested_delimiter": NESTING,
    }  # fmt: skip

    embedded: bool = False
    runtime: Literal["docker", "bubblewrap"] | None = None
    state_dir: Path | None = None
    drain_timeout_s: Annotated[float, Setting(ge=0)] = 20.0
    """How long running evals may take to end when the server does."""
    server: Server = Server()
    channel: Channel = Channel()
    engine: Engine = Engine()
    sandbox: Sandbox = Sandbox()
    auth: Auth = Auth()
    docker: Docker = Docker()
    bubblewrap: Bubblewrap = Bubblewrap()
    redis: Redis = Redis()
    blobs: Blobs = Blobs()
    keys: Keys = Keys()
    limits: dict[str, Annotated[int, Setting(ge=0)]] = {}
    log: Log = Log()

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: object, **__: object
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, environment, file."""
        file = _toml_file.get()
        toml = (TomlConfigSettingsSource(settings_cls, toml_file=file),) if file is not None else ()
        return init_settings, _Environment(settings_cls), *toml

    # --- what the parts of the server are given -------------------------------------------------------------------

    @property
    def state_folder(self) -> Path:
        """Where what outlives the process is kept."""
        return (self.state_dir or default_state_folder()).absolute()

    def worker_images(self) -> tuple[str, ...]:
        """The sandbox's, then those that `open` may name besides."""
        return (self.sandbox.model_dump()["image"], *self.engine.model_dump()["images"])

    def all_limits(self) -> dict[str, int]:
        """The limits of the wire in force."""
        return default_limits() | self.limits

    def http_config(self) -> HttpConfig:
        """For the HTTP transport."""
        envelope_bytes_max = self.all_limits()["envelope_bytes_max"]
        channel = ChannelConfig(**self.channel.model_dump(), envelope_bytes_max=envelope_bytes_max)
        return HttpConfig(**self.server.model_dump(), channel=channel, limits=self.all_limits())

    def engine_config(self) -> EngineConfig:
        """For the engine; makes the installation's keys if none are set. Raises `SettingsError`."""
        stamp, seal = self._installation_keys()
        sandbox = replace(SandboxSpec(worker=""), **self.sandbox.model_dump())
        return EngineConfig(
            **self.engine.model_dump(), limits=self.all_limits(), sandbox=sandbox, stamp_key=stamp, seal_key=seal,
            export_key=self._export_key(),
        )  # fmt: skip

    def _installation_keys(self) -> InstallationKeys:
        given = [key.get_secret_value() for key in (self.keys.stamp, self.keys.seal) if key is not None]
        try:
            if len(given) == 1:
                raise ValueError("give both keys.stamp and keys.seal, or neither")
            return InstallationKeys(*map(key_of_text, given)) if given else kept_keys(self.state_folder)
        except (ValueError, InstallationKeysError) as error:
            raise SettingsError(f"keys: {error}") from None

    def _export_key(self) -> bytes:
        if self.keys.export is None:
            return b""
        try:
            return key_of_text(self.keys.export.get_secret_value())
        except ValueError as error:
            raise SettingsError(f"keys.export: {error}") from None


_toml_file: ContextVar[Path | None] = ContextVar("toml_file", default=None)


class _Environment(EnvSettingsSource):
    """The environment, with secrets read from the files that `_FILE` names."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        found = dict(super()._load_env_vars())
        for name in SECRETS:
            path = found.pop(f"{PREFIX.lower()}{name}{FILE_SUFFIX}", None)
            if path is not None and PREFIX.lower() + name in found:
                raise SettingsError(f"{PREFIX}{name.upper()}: given twice, also as {PREFIX}{name.upper()}_FILE")
            if path is not None:
                found[PREFIX.lower() + name] = _secret_of(Path(path), name)
        return found


def _secret_of(path: Path, name: str) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{PREFIX}{name.upper()}_FILE: {path}: {error}") from None


def default_state_folder() -> Path:
    """`/var/lib/bascule` for root, else below the user's own data folder."""
    if os.geteuid() == 0:
        return Path("/var/lib/bascule")
    own = os.environ.get("XDG_DATA_HOME")
    return (Path(own) if own else Path.home() / ".local" / "share") / "bascule"


def load(flags: Mapping[str, Any], file: Path | None = None) -> Settings:
    """Settings from `flags` (nested by section), the environment and a TOML file; raises `SettingsError`."""
    if file is None and SYSTEM_FILE.is_file():
        file = SYSTEM_FILE
    if file is not None and not file.is_file():
        raise SettingsError(f"{file}: there is no such file")
    _check_environment_names()
    restore = _toml_file.set(file)
    try:
        settings = Settings(**flags)
    except ValidationError as error:
        raise SettingsError("\n".join(_words(error))) from None
    except (SourceError, tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"{file or 'environment'}: {error}") from None
    finally:
        _toml_file.reset(restore)
    _check_limits(settings)
    return settings


def sources(flags: Mapping[str, Any], file: Path | None = None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What each source says, the strongest first: `flag`, `environment`, `file`. For settings that `load` takes."""
    yield "flag", flags
    yield "environment", _Environment(Settings)()
    file = file or (SYSTEM_FILE if SYSTEM_FILE.is_file() else None)
    if file is not None:
        yield "file", tomllib.loads(file.read_text(encoding="utf-8"))


def check_for_serving(settings: Settings) -> None:
    """Whether a server can be made from them; raises `SettingsError`, which says what is missing."""
    host = settings.http_config().host
    if settings.auth.dev_token is not None and not is_loopback(host):
        raise SettingsError(
            f"the dev token is for loopback only, and this would listen on {host}: "
            "leave --dev-token out and use --keys-file (`bascule token create` makes keys), or listen on localhost"
        )
    if settings.auth.dev_token is None and settings.auth.keys_file is None and not settings.auth.jwt:
        raise SettingsError(
            "nobody could connect: give --dev-token TOKEN (on loopback) or --keys-file FILE, "
            "or [[auth.jwt]] in the file of --config"
        )
    _check_proxies(settings.http_config().trusted_proxies)
    _check_origins(settings.http_config().origins)
    if not settings.embedded and settings.runtime is None:
        raise SettingsError("choose where workers run: --embedded (a laptop), or --runtime docker|bubblewrap")
    if not settings.embedded and settings.redis.url is None:
        raise SettingsError("choose where sessions are kept: --redis-url redis://HOST:6379 (or --embedded, a laptop)")


def _check_origins(origins: tuple[str, ...]) -> None:
    for origin in origins:
        parts = urlsplit(origin)
        if origin != f"{parts.scheme}://{parts.netloc}" or not parts.scheme or not parts.netloc:
            raise SettingsError(f"server.origins: {origin!r} is no origin: write it as https://console.example.com")


def _check_proxies(proxies: tuple[str, ...]) -> None:
    for proxy in proxies:
        try:
            ipaddress.ip_network(proxy, strict=False)
        except ValueError:
            raise SettingsError(f"server.trusted_proxies: {proxy!r} is neither an address nor a network") from None


def _check_limits(settings: Settings) -> None:
    for name in settings.limits:
        if name not in LIMITS:
            raise SettingsError(_unknown(f"limits.{name}"))


def _check_environment_names() -> None:
    sections = set(Settings.model_fields)
    for name, value in os.environ.items():
        if name.startswith(PREFIX) and NESTING not in name and (meant := misspelt(name, value, names())) is not None:
            raise SettingsError(f"{name}: there is no such setting; did you mean {meant}?")
        section, nested, _ = name.removeprefix(PREFIX).lower().partition(NESTING)
        if name.startswith(PREFIX) and nested and section not in sections:
            raise SettingsError(_unknown(name.removeprefix(PREFIX).lower().replace(NESTING, "."), name))


def names() -> Iterator[str]:
    """Every setting by its dotted name."""
    for section, item in Settings.model_fields.items():
        kind = item.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from (f"{section}.{name}" for name in kind.model_fields)
            if section == "auth":
                yield from (f"auth.jwt.{name}" for name in JwtConfig.model_fields)
        elif section == "limits":
            yield from (f"limits.{name}" for name in LIMITS)
        else:
            yield section


def _words(error: ValidationError) -> Iterator[str]:
    for found in error.errors(include_url=False, include_input=False, include_context=False):
        name = ".".join(map(str, found["loc"]))
        yield _unknown(name) if found["type"] == "extra_forbidden" else f"{name}: {found['msg']}"


def _unknown(name: str, shown: str | None = None) -> str:
    known = list(names())
    last_words = {full.rsplit(".", 1)[-1]: full for full in known}
    close = difflib.get_close_matches(name, known, 1) or [
        last_words[word] for word in difflib.get_close_matches(name.rsplit(".", 1)[-1], last_words, 1)
    ]
    return f"{shown or name}: there is no such setting" + (f"; did you mean {close[0]}?" if close else "")
