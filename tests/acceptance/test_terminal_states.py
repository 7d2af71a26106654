"""The prompt and the states of its session: `:states`, `:rewind`, `:fork`, `:pin`, on a real terminal."""

from __future__ import annotations

import pytest

from bascule import AsyncClient
from support.server import TOKEN, Server
from support.terminals import Start

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis, pytest.mark.tmux]


async def test_back_at_the_prompt(embedded: Server, start: Start):
    """The names are as they were; the list says what made each state."""
    terminal = await start(embedded.url)
    for code in ("x = 1", "x = 2"):
        await terminal.enter(code)
        await terminal.ends_with(f">>> {code}", ">>>")
    await terminal.enter(":pin first")
    await terminal.shows("[first is the state of 2]")
    await terminal.enter(":rewind 1")
    await terminal.shows("[as after 1; this is 3]")
    await terminal.enter("x + 40")
    await terminal.ends_with("41", ">>>")
    await terminal.enter(":states")
    await terminal.ends_with(
        "seq  pin    after",
        "1           x = 1",
        "2    first  x = 2",
        "3           rewind 1",
        "4           x + 40",
        ">>>",
    )


async def test_what_is_wrong_is_said(embedded: Server, start: Start):
    """No number, a state that there is not, a name that is none; the prompt goes on."""
    terminal = await start(embedded.url)
    await terminal.enter("x = 1")
    await terminal.enter(":rewind")
    await terminal.shows("[usage: :rewind SEQ")
    await terminal.enter(":rewind 99")
    await terminal.shows("kept are: 1")
    await terminal.enter(":pin ../x")
    await terminal.shows("bad_message")
    await terminal.enter(":unpin none")
    await terminal.shows("no state is pinned under this name")
    await terminal.enter("x + 1")
    await terminal.ends_with("2", ">>>")


async def test_a_fork_is_another_session(embedded: Server, start: Start):
    """The prompt stays where it is, and says how to go there."""
    terminal = await start(embedded.url)
    await terminal.enter("x = 1")
    await terminal.enter(":fork what-if")
    text = await terminal.shows("[forked; go to it with: bascule repl --session ses_")
    fork = text.partition("go to it with: bascule repl --session ")[2].partition("]")[0].replace("\n", "")
    await terminal.enter("x = 2; x")
    await terminal.ends_with("2", ">>>")
    async with AsyncClient(TOKEN, embedded.url) as client, client.attach(fork) as other:
        assert (await other.run("x")).text == "1"
