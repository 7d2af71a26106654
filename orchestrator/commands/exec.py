"""`bascule exec`: a program run in a session."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from orchestrator.commands import exit_codes
from orchestrator.commands.calling import Ends, run, settings_for, with_output, with_server

if TYPE_CHECKING:
    from bascule.settings import Settings
    from bascule.terminal.executing import Ended, ExecOptions

SOURCE_BYTES_MAX: Final = 1024 * 1024
"""Of a program read here; the session's own limit (`code_bytes_max`) is lower."""


@click.command("exec")
@click.argument("file", type=click.Path(allow_dash=True, dir_okay=False, path_type=Path))
@click.option("--session", default=None, metavar="ID", help="Run it in this session; without it in a new one.")
@click.option("--stdin", "pass_stdin", is_flag=True, help="input() gets its lines from our stdin.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0, min_open=True), default=None, metavar="SECONDS",
              help="Interrupt it after this time; can only lower the server's limit.")  # fmt: skip
@click.option("--silent", is_flag=True, help="Don't show the value of the last expression.")
@click.option("--raw", is_flag=True, help="Pass output as it is: terminal escapes are not made visible.")
@with_output
@with_server
def exec_(
    file: Path, session: str | None, pass_stdin: bool, timeout_s: float | None, silent: bool, raw: bool, output: str,
    url: str | None, token: str | None,
) -> None:  # fmt: skip
    """Run a program in a session: its stdout and stderr are ours, and so is its end.

    FILE is source text, `-` stands for stdin. The value of the last expression is shown as a prompt would.
    """
    from bascule.terminal.executing import ExecOptions

    if pass_stdin and str(file) == "-":
        raise Ends("stdin holds the program already: --stdin needs a FILE", exit_codes.WRONG)
    options = ExecOptions(session, sys.stdin if pass_stdin else None, timeout_s, silent, raw, output == "json")
    sys.exit(_code_of(run(_execute(settings_for(url, token), _source(file), options))))


def _source(file: Path) -> str:
    try:
        with click.open_file(str(file), encoding="utf-8") as opened:
            text: str = opened.read(SOURCE_BYTES_MAX + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise Ends(f"{file}: {error}", exit_codes.WRONG) from None
    if len(text) > SOURCE_BYTES_MAX:
        raise Ends(f"{file}: longer than {SOURCE_BYTES_MAX} bytes", exit_codes.WRONG)
    return text


async def _execute(settings: Settings, code: str, options: ExecOptions) -> Ended:
    from bascule.async_client import AsyncClient
    from bascule.terminal.executing import execute

    async with AsyncClient(settings.api_key, settings.url) as client:
        return await execute(client, code, options)


def _code_of(ended: Ended) -> int:
    error = ended.execution.error
    if error is None:
        return exit_codes.DONE
    if ended.was_interrupted:
        return exit_codes.INTERRUPTED
    return exit_codes.TIMED_OUT if error.code == "timeout" else exit_codes.FAILED
