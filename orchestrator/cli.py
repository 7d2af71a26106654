"""The command `bascule`: those of a server here, those that speak to one in `orchestrator.commands`.

Exit codes: 0 well, 1 it could not be done, 2 the command line or the settings are wrong; the others are in the table of
`orchestrator.commands.exit_codes`. stdout holds what was asked for, stderr the logs and the reasons.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from orchestrator.commands.calling import Failed, Wrong, say
from orchestrator.commands.completion import completion
from orchestrator.commands.exec import exec_
from orchestrator.commands.flags import nested, with_flags
from orchestrator.commands.openapi import openapi
from orchestrator.commands.repl import repl
from orchestrator.commands.session import session
from orchestrator.commands.token import token

STDIN: Final = 0
STDOUT: Final = 1
STDERR: Final = 2


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


for _command in (repl, exec_, session, token, openapi, completion):
    main.add_command(_command)


@main.command()
@with_flags
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
    from orchestrator import app, settings, store_parts

    try:
        loaded = settings.load(nested(flags, more), config)
        _configure_logs(loaded.log.level, loaded.log.format)
        app.run(loaded, say)
    except settings.SettingsError as error:
        raise Wrong(str(error)) from None
    except store_parts.StartError as error:
        raise Failed(str(error)) from None


def _configure_logs(level: str, format_: str) -> None:
    from orchestrator.telemetry.logs import configure_logs

    configure_logs(level, as_json=None if format_ == "auto" else format_ == "json")


@main.command()
@click.option("--prompt/--no-prompt", default=None, help="A prompt at the end; by default when stdin is a terminal.")
def demo(prompt: bool | None) -> None:
    """Show a variable survive kill -9 of its worker and of the server; then a prompt."""
    from orchestrator.demo import DemoError, run_demo

    try:
        run_demo(prompt=sys.stdin.isatty() if prompt is None else prompt)
    except DemoError as error:
        raise Failed(str(error)) from None


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
        loaded = settings.load(nested({"redis__url": redis_url}, more), config)
    except settings.SettingsError as error:
        raise Wrong(str(error)) from None
    report = examine(loaded)
    say(report.as_json() if output == "json" else report.as_text())
    sys.exit(0 if report.usable else 1)


@main.group()
def config() -> None:
    """Settings."""


@config.command()
@partial(with_flags, but="--origin")
@click.option("--config", "file", type=click.Path(path_type=Path), envvar="BASCULE_CONFIG", help="TOML file.")
@click.option("--set", "more", multiple=True, metavar="NAME=VALUE", help="Any other setting.")
@click.option("--origin", "with_origin", is_flag=True, help="Tell where each value came from.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="How to print [table].")
def show(file: Path | None, more: tuple[str, ...], with_origin: bool, output: str, **flags: Any) -> None:
    """Print the settings that `serve` would have with the same flags, environment and file; secrets masked."""
    from orchestrator import settings
    from orchestrator.commands.config import as_text, shown_settings

    given = nested(flags, more)
    try:
        shown = list(shown_settings(settings.load(given, file), list(settings.sources(given, file))))
    except settings.SettingsError as error:
        raise Wrong(str(error)) from None
    say(as_text(shown, with_origin=with_origin, as_json=output == "json").rstrip("\n"))
