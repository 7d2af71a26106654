"""The command `bascule`: those of a server here, those that speak to one in `orchestrator.commands`.

Exit codes: 0 well, 1 it could not be done, 2 the command line or the settings are wrong; the others are in the table of
`orchestrator.commands.exit_codes`. stdout holds what was asked for, stderr the logs and the reasons.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from orchestrator.commands.completion import completion
from orchestrator.commands.exec import exec_
from orchestrator.commands.repl import repl
from orchestrator.commands.session import session
from orchestrator.core.principal import SCOPES

WRONG_SETTINGS: Final = 2
STDIN: Final = 0
STDOUT: Final = 1
STDERR: Final = 2

_Command = TypeVar("_Command", bound=Callable[..., Any])

# Flag, the setting that it sets, what click makes of it, and its help. Every other setting: --set NAME=VALUE.
FLAGS: Final[tuple[tuple[str, str, dict[str, Any], str], ...]] = (
    ("--embedded", "embedded", {"is_flag": True}, "Sandboxes by bubblewrap and a private Redis; for laptops."),
    ("--runtime", "runtime", {"type": click.Choice(["docker", "bubblewrap"])}, "What makes the workers."),
    ("--redis-url", "redis.url", {}, "Where sessions are kept: redis://, rediss:// or unix://."),
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
    ("--sessions-max", "engine.sessions_max", {"type": int}, "Sessions that run at once."),
    ("--eval-timeout-s", "limits.eval_timeout_s", {"type": int}, "Wall time of one eval."),
    ("--drain-timeout-s", "drain_timeout_s", {"type": float}, "How long evals may go on when the server ends."),
    ("--log-level", "log.level", {"type": click.Choice(["debug", "info", "warning", "error"])}, "Least level shown."),
    ("--log-format", "log.format", {"type": click.Choice(["auto", "json", "console"])}, "auto: JSON off a terminal."),
)


def entry() -> None:
    """What the installed command runs: `main` with a stdin, stdout and stderr, whatever the caller has closed.

    Without it the first socket would get the number of a closed one, and be written to as if it were stdout.
    """
    while (opened := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        pass
    os.close(opened)
    sys.stdin = sys.stdin or os.fdopen(STDIN, encoding="utf-8", closefd=False)
    sys.stdout = sys.stdout or os.fdopen(STDOUT, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(STDERR, "w", encoding="utf-8", closefd=False)
    main()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="bascule", prog_name="bascule")
def main() -> None:
    """A REPL as a service: durable Python sessions in locked-down workers, behind one front door.

    Exit codes: 0 done, 1 it could not be done, 2 the command line or the settings are wrong; docs/reference/cli.md
    has the rest.
    """


for _command in (repl, exec_, session, completion):
    main.add_command(_command)


def _with_flags(command: _Command, but: str = "") -> _Command:
    for flag, setting, options, text in reversed(FLAGS):
        if flag == but:
            continue
        default = {} if options.get("multiple") or options.get("is_flag") else {"default": None}
        command = click.option(flag, setting.replace(".", "__"), help=text, **default, **options)(command)
    return command


@main.command()
@_with_flags
@click.option("--config", type=click.Path(path_type=Path), envvar="BASCULE_CONFIG", help="TOML file with settings.")
@click.option(
    "--set", "more", multiple=True, metavar="NAME=VALUE", help="Any other setting, as engine.refill_at_once=2."
)
def serve(config: Path | None, more: tuple[str, ...], **flags: Any) -> None:
    """Serve until SIGTERM or Ctrl-C; prints `ready ws://…` once clients can connect.

    \b
    On a laptop:  bascule serve --embedded --dev-token TOKEN
    On a server:  bascule serve --runtime docker --redis-url redis://localhost:6379 --keys-file keys.toml
    """
    from orchestrator import app, settings

    try:
        loaded = settings.load(_nested(flags, more), config)
        _configure_logs(loaded.log.level, loaded.log.format)
        app.run(loaded, _say)
    except settings.SettingsError as error:
        raise _WrongSettings(str(error)) from None
    except app.StartError as error:
        raise _Failure(str(error)) from None


class _Failure(click.ClickException):
    """It could not be done."""


class _WrongSettings(click.ClickException):
    """What was asked for makes no sense."""

    exit_code = WRONG_SETTINGS


def _nested(flags: dict[str, Any], more: tuple[str, ...]) -> dict[str, Any]:
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


def _configure_logs(level: str, format_: str) -> None:
    from orchestrator.telemetry.logs import configure_logs

    configure_logs(level, as_json=None if format_ == "auto" else format_ == "json")


def _say(line: str) -> None:
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer would fail once more, with a traceback, when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
        raise _Failure(f"stdout can't be written to: {error.strerror}") from None


@main.command()
@click.option("--prompt/--no-prompt", default=None, help="A prompt at the end; by default when stdin is a terminal.")
def demo(prompt: bool | None) -> None:
    """Show a variable survive kill -9 of its worker and of the server; then a prompt."""
    from orchestrator.demo import DemoError, run_demo

    try:
        run_demo(prompt=sys.stdin.isatty() if prompt is None else prompt)
    except DemoError as error:
        raise _Failure(str(error)) from None


@main.command()
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to say it.")
@click.option("--redis-url", default=None, help="Look at this Redis too.")
@click.option("--config", type=click.Path(path_type=Path), envvar="BASCULE_CONFIG", help="TOML file with settings.")
@click.option("--set", "more", multiple=True, metavar="NAME=VALUE", help="Any other setting, as docker.runtime=runsc.")
def doctor(output: str, redis_url: str | None, config: Path | None, more: tuple[str, ...]) -> None:
    """Tell what this machine has and lacks for a server with these settings.

    Exit code 0 when a runtime and a store can be used, else 1.
    """
    from orchestrator import settings
    from orchestrator.doctor import examine

    try:
        loaded = settings.load(_nested({"redis__url": redis_url}, more), config)
    except settings.SettingsError as error:
        raise _WrongSettings(str(error)) from None
    report = examine(loaded)
    _say(report.as_json() if output == "json" else report.as_text())
    sys.exit(0 if report.usable else 1)


@main.group()
def config() -> None:
    """Settings."""


@config.command()
@partial(_with_flags, but="--origin")
@click.option("--config", "file", type=click.Path(path_type=Path), envvar="BASCULE_CONFIG", help="TOML file.")
@click.option("--set", "more", multiple=True, metavar="NAME=VALUE", help="Any other setting.")
@click.option("--origin", "with_origin", is_flag=True, help="Tell where each value came from.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="How to print [table].")
def show(file: Path | None, more: tuple[str, ...], with_origin: bool, output: str, **flags: Any) -> None:
    """Print the settings that `serve` would have with the same flags, environment and file; secrets masked."""
    from orchestrator import settings
    from orchestrator.commands.config import as_text, shown_settings

    given = _nested(flags, more)
    try:
        shown = list(shown_settings(settings.load(given, file), list(settings.sources(given, file))))
    except settings.SettingsError as error:
        raise _WrongSettings(str(error)) from None
    _say(as_text(shown, with_origin=with_origin, as_json=output == "json").rstrip("\n"))


@main.group()
def token() -> None:
    """API keys."""


@token.command()
@click.option("--tenant", required=True, help="Whose key it is; sessions of one tenant are unseen by others.")
@click.option("--subject", required=True, help="Who or what uses it.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="What it may do; may be repeated.")
@click.option("--keys-file", type=click.Path(path_type=Path), default=None, help="Add the entry to this TOML file.")
def create(tenant: str, subject: str, scopes: tuple[str, ...], keys_file: Path | None) -> None:
    """Make a key. It is printed once, on stdout; the list of keys holds its hash only."""
    from pydantic import ValidationError

    from orchestrator.auth import api_keys

    try:
        key, entry = api_keys.new_key(tenant, subject, scopes or api_keys.DEFAULT_SCOPES)
        if keys_file is not None:
            api_keys.append_entry(keys_file, entry)
    except ValidationError as error:
        first = error.errors()[0]
        raise _WrongSettings(f"--{first['loc'][0]}: {first['msg']}") from None
    except api_keys.KeysFileError as error:
        raise _Failure(str(error)) from None
    _say(key)
    where = f"added to {keys_file}" if keys_file else "put this entry into the file of --keys-file"
    click.echo(f"{where}; the key above is shown this once:\n\n{api_keys.entry_text(entry)}", err=True)
