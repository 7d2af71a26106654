"""Flags that set settings, and how they become one tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])

# Flag, the setting that it sets, what click makes of it, and its help. Every other setting: --set NAME=VALUE.
FLAGS: Final[tuple[tuple[str, str, dict[str, Any], str], ...]] = (
    ("--embedded", "embedded", {"is_flag": True}, "Sandboxes by bubblewrap and a private Redis; for laptops."),
    ("--runtime", "runtime", {"type": click.Choice(["docker", "bubblewrap"])}, "What makes the workers."),
    ("--redis-url", "redis.url", {}, "Where sessions are kept: redis://, rediss://, unix:// or redis+sentinel://."),
    ("--host", "server.host", {}, "Address to listen on; localhost is IPv4 and IPv6 [localhost]."),
    ("--port", "server.port", {"type": int}, "Port to listen on; 0 takes a free one [8765]."),
    ("--metrics-port", "server.metrics_port", {"type": int}, "A port of its own for /metrics."),
    ("--origin", "server.origins", {"multiple": True}, "A browser origin that may connect; may be repeated."),
    ("--dev-token", "auth.dev_token", {}, "One token for everything; on loopback only."),
    ("--keys-file", "auth.keys_file", {"type": click.Path()}, "The list of API keys (`bascule token create`)."),
    ("--state-dir", "state_dir", {"type": click.Path()}, "Folder for what outlives the server."),
    ("--image", "sandbox.image", {}, "Worker image [bascule-worker:latest]."),
    ("--more-image", "engine.images", {"multiple": True}, "A further image that `open` may name; may be repeated."),
    ("--docker-runtime", "docker.runtime", {}, "Docker's own runtime for workers; runsc is gVisor."),
    ("--memory-bytes", "sandbox.memory_bytes", {"type": int}, "Memory of a worker."),
    ("--cpus", "sandbox.cpus", {"type": float}, "CPU cores of a worker."),
    ("--pool-size", "engine.pool_size", {"type": int}, "Warm workers kept ready."),
    ("--sessions-max", "engine.sessions_max", {"type": int}, "Sessions in hand: with a worker or a client."),
    ("--workers-max", "engine.workers_max", {"type": int}, "Workers at once; beyond it the longest idle is parked."),
    ("--eval-timeout-s", "limits.eval_timeout_s", {"type": int}, "Wall time of one eval."),
    ("--drain-timeout-s", "drain_timeout_s", {"type": float}, "How long evals may go on when the server ends."),
    ("--log-level", "log.level", {"type": click.Choice(["debug", "info", "warning", "error"])}, "Least level shown."),
    ("--log-format", "log.format", {"type": click.Choice(["auto", "json", "console"])}, "auto: JSON off a terminal."),
)


def with_flags(command: _Command, but: str = "") -> _Command:
    """The options of all flags `but` one."""
    for flag, setting, options, text in reversed(FLAGS):
        if flag == but:
            continue
        default = {} if options.get("multiple") or options.get("is_flag") else {"default": None}
        command = click.option(flag, setting.replace(".", "__"), help=text, **default, **options)(command)
    return command


def nested(flags: dict[str, Any], more: tuple[str, ...]) -> dict[str, Any]:
    """Flags that were given, as the sections of the settings."""
    given = [(name.split("__"), value) for name, value in flags.items() if _is_given(value)]
    for word in more:
        name, equals, text = word.partition("=")
        if not equals:
            raise click.BadParameter(f"{word!r} is not NAME=VALUE", param_hint="--set")
        given.append((name.split("."), text))
    nested: dict[str, Any] = {}
    for path, value in given:
        _put(nested, path, value)
    return nested


def _put(nested: dict[str, Any], path: list[str], value: object) -> None:
    section = nested
    for part in path[:-1]:
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            raise click.BadParameter(f"{part!r} is a value, it has no {'.'.join(path)!r}", param_hint="--set")
    section[path[-1]] = value


def _is_given(value: object) -> bool:
    return value is not None and value is not False and value != ()
