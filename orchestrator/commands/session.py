"""`bascule session`: what sessions there are, and what is done to one."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from orchestrator.commands.calling import run, say, settings_for, with_output, with_server
from orchestrator.commands.past import export, fork, import_, pin, rewind, states, unpin
from orchestrator.commands.repl import start_prompt

if TYPE_CHECKING:
    from bascule.async_session import AsyncSession
    from bascule.settings import Settings

LIST_MAX: Final = 100
"""Sessions that `list` shows unless told otherwise."""

_COLUMNS: Final = ("session", "name", "status", "seq", "subject", "created_at", "seen_at")
_TIMES: Final = ("created_at", "seen_at")

_id = click.argument("session_id", metavar="ID")


@click.group()
def session() -> None:
    """Sessions of your tenant."""


@session.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=LIST_MAX, help=f"Show at most so many [{LIST_MAX}].")
@with_output
@with_server
def list_(limit: int, output: str, url: str | None, token: str | None) -> None:
    """The open sessions, the newest first. None is woken."""
    from bascule.terminal.overview import list_sessions
    from bascule.terminal.tables import table

    found = run(list_sessions(settings_for(url, token), limit))
    rows = [[_shown(name, item.get(name)) for name in _COLUMNS] for item in found]
    say(json.dumps(found) if output == "json" else table(_COLUMNS, rows))


@session.command()
@_id
@with_output
@with_server
def get(session_id: str, output: str, url: str | None, token: str | None) -> None:
    """What is known of one. It is not woken."""
    from bascule.terminal.overview import get_session
    from bascule.terminal.tables import table

    found = run(get_session(settings_for(url, token), session_id))
    rows = [(name, _shown(name, value)) for name, value in found.items()]
    say(json.dumps(found) if output == "json" else table(("field", "value"), rows))


@session.command()
@_id
@with_server
def attach(session_id: str, url: str | None, token: str | None) -> None:
    """A prompt on it: the same as `bascule repl --session ID`."""
    start_prompt(url, token, session=session_id)


@session.command()
@click.argument("session_ids", metavar="ID...", nargs=-1, required=True)
@with_server
def kill(session_ids: tuple[str, ...], url: str | None, token: str | None) -> None:
    """End sessions for good: what runs in them, their state, their files."""
    settings = settings_for(url, token)
    for session_id in session_ids:
        run(_in_session(settings, session_id, lambda opened: opened.close()))
        say(f"{session_id} ended")


@session.command()
@_id
@with_server
def interrupt(session_id: str, url: str | None, token: str | None) -> None:
    """Stop what runs in it; prints `interrupted` or `idle`."""
    say(run(_in_session(settings_for(url, token), session_id, lambda opened: opened.interrupt())))


for _command in (states, rewind, fork, pin, unpin, export, import_):
    session.add_command(_command)


async def _in_session(settings: Settings, session_id: str, act: Callable[[AsyncSession], Awaitable[Any]]) -> Any:
    from bascule.async_client import AsyncClient

    async with AsyncClient(settings.api_key, settings.url) as client, client.attach(session_id) as opened:
        return await act(opened)


def _shown(name: str, value: object) -> object:
    if name in _TIMES and isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC).isoformat(" ", "seconds").removesuffix("+00:00") + "Z"
    return value
