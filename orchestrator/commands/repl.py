"""`bascule repl`: a prompt on a session, on a server that is there or on one started for it."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

import click

from orchestrator.commands.calling import Ends, run, settings_for, with_server
from orchestrator.commands.exit_codes import FAILED, WRONG

if TYPE_CHECKING:
    from bascule.settings import Settings

NO_LIBRARIES: Final = "the prompt needs more than is installed: pip install 'bascule[cli]'"
NO_TERMINAL: Final = "the prompt needs a terminal; `bascule exec -` runs code from stdin"
OFFER: Final = "Start one here for this prompt (bubblewrap and a private Redis; it ends with the prompt)?"


@click.command()
@click.option("--session", default=None, metavar="ID", help="Come back to a session; without it a new one is opened.")
@click.option("--name", default=None, help="Name of the new session, for people.")
@click.option("--embedded", is_flag=True, help="Start a server for this prompt, and end it with it.")
@with_server
def repl(session: str | None, name: str | None, embedded: bool, url: str | None, token: str | None) -> None:
    """A prompt on a session: history, completion, several lines, Ctrl-C.

    \b
    On a laptop:  bascule repl --embedded
    On a server:  BASCULE_API_KEY=bsk_… bascule repl --url wss://bascule.example.com
    """
    start_prompt(url, token, session=session, name=name, embedded=embedded)


def start_prompt(
    url: str | None, token: str | None, *, session: str | None = None, name: str | None = None, embedded: bool = False
) -> None:
    """Until it is left. Ends the command when it cannot begin."""
    _check(embedded=embedded, session=session, url=url)
    if embedded:
        run(_with_own_server(name))
        return
    try:
        settings = settings_for(url, token)
    except Ends as ends:
        if not _is_at_home(url, token, session) or not _offer(ends.message):
            raise
        run(_with_own_server(name))
        return
    if not run(_with_server(settings, session, name, may_offer=_is_at_home(url, None, session))):
        run(_with_own_server(name))


def _check(*, embedded: bool, session: str | None, url: str | None) -> None:
    if embedded and (session is not None or url is not None):
        raise Ends("--embedded starts a server of its own: it has neither --session nor --url", WRONG)
    if not sys.stdin.isatty() or not sys.stdout.isatty():
        raise Ends(NO_TERMINAL, WRONG)
    try:
        import bascule.terminal.prompt  # noqa: F401 - whether it is there
    except ImportError:
        raise Ends(NO_LIBRARIES, FAILED) from None


def _is_at_home(url: str | None, token: str | None, session: str | None) -> bool:
    """Whether nobody named a server: then one of our own will do as well."""
    return url is None and token is None and session is None and not os.environ.get("BASCULE_API_URL")


def _offer(why: str) -> bool:
    click.echo(why, err=True)
    return click.confirm(OFFER, default=True, err=True)


async def _with_server(settings: Settings, session: str | None, name: str | None, *, may_offer: bool) -> bool:
    """Whether there was one; False when there is none and a server of our own is wanted."""
    from bascule.async_client import AsyncClient
    from bascule.errors import ConnectionError
    from bascule.terminal.repl import run_repl

    async with AsyncClient(settings.api_key, settings.url) as client:
        try:
            await client.describe()
        except ConnectionError as error:
            if may_offer and _offer(str(error)):
                return False
            raise
        await run_repl(client, session=session, name=name)
    return True


async def _with_own_server(name: str | None) -> None:
    from bascule.async_client import AsyncClient
    from bascule.terminal.repl import run_repl

    async with own_server() as (url, token), AsyncClient(token, url) as client:
        await run_repl(client, name=name, is_last=True)


@contextlib.asynccontextmanager
async def own_server() -> AsyncIterator[tuple[str, str]]:
    """An embedded server in a folder that is thrown away: its URL and token. Ends the command when it can't start."""
    from orchestrator.demo.server import DemoError, DemoServer, throw_away_folder

    token = secrets.token_urlsafe(16)
    with throw_away_folder() as folder:
        server = DemoServer(folder, token)
        try:
            try:
                await server.start()
            except DemoError as error:
                raise Ends(str(error), FAILED) from None
            yield server.url, token
        finally:
            await server.stop()
