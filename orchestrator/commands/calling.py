"""What all commands share that speak to a server: where it is, who we are, and what becomes of failures."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from orchestrator.commands.exit_codes import WRONG

if TYPE_CHECKING:
    from bascule.settings import Settings

Returned = TypeVar("Returned")
_Command = TypeVar("_Command", bound=Callable[..., Any])

STDOUT: Final = 1

_URL_HELP: Final = "The server [$BASCULE_API_URL, else ws://127.0.0.1:8765]."
_KEY_HELP: Final = "API key or token [$BASCULE_API_KEY, or the file $BASCULE_API_KEY_FILE; `ps` shows flags]."


class Ends(click.ClickException):
    """The command ends with an exit code of its own."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance


class Failed(click.ClickException):
    """It could not be done."""


class Wrong(click.ClickException):
    """What was asked for makes no sense."""

    exit_code = WRONG


def with_server(command: _Command) -> _Command:
    """The options that say which server, and who asks."""
    command = click.option("--token", default=None, help=_KEY_HELP)(command)
    return click.option("--url", default=None, help=_URL_HELP)(command)


def with_output(command: _Command) -> _Command:
    """The option that says how to print."""
    return click.option(
        "-o", "--output", type=click.Choice(["table", "json"]), default="table", help="How to print [table]."
    )(command)


def settings_for(url: str | None, token: str | None) -> Settings:
    """Of the client. Ends the command when something is missing or wrong."""
    from bascule.errors import BasculeError
    from bascule.settings import read_settings
    from orchestrator.commands.failures import exit_code_of

    try:
        return read_settings(token, url)
    except BasculeError as error:
        raise Ends(_hint(error), exit_code_of(error)) from None


def _hint(error: Exception) -> str:
    from bascule.errors import AuthenticationError

    more = ": give --token" if isinstance(error, AuthenticationError) else ""
    return f"{error}{more}"


def run(work: Coroutine[Any, Any, Returned]) -> Returned:
    """Run it to its end. What fails ends the command with words on stderr and the exit code for it."""
    from bascule.errors import BasculeError
    from bascule.terminal.escapes import one_line
    from bascule.terminal.running import GivenUp
    from orchestrator.commands import exit_codes
    from orchestrator.commands.failures import exit_code_of

    try:
        return asyncio.run(_until_signal(work))
    except BasculeError as error:
        raise Ends(one_line(str(error)), exit_code_of(error)) from None
    except (KeyboardInterrupt, GivenUp) as stop:
        raise Ends(str(stop) or "interrupted", exit_codes.INTERRUPTED) from None
    except asyncio.CancelledError:
        raise Ends("ended by a signal", exit_codes.FAILED) from None
    except OSError as error:
        _forget_output()
        raise Ends(f"the terminal or pipe is gone: {error.strerror}", exit_codes.FAILED) from None


async def _until_signal(work: Coroutine[Any, Any, Returned]) -> Returned:
    """A signal that would kill us ends the work first, so that the terminal is left as it was found."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await work


def _forget_output() -> None:
    """What is left in the buffer would fail once more, with a traceback, when the interpreter ends."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)


def say(text: str) -> None:
    """On stdout, with one line end behind it."""
    try:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()
    except OSError as error:
        _forget_output()
        raise Ends(f"stdout can't be written to: {error.strerror}", 1) from None
