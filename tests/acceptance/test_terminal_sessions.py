"""The prompt's commands, the sessions and servers behind it, and tenants who would like to be more than text."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from bascule import AsyncClient
from support.processes import leftovers
from support.server import TOKEN, Server
from support.terminals import BASCULE, Start
from support.tmux import Terminal

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis, pytest.mark.tmux]

ONE_PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)  # fmt: skip
PICTURE = (
    "import base64\n"
    "class Picture:\n"
    f"    def _repr_png_(self): return base64.b64decode('{ONE_PIXEL}')\n"
    "    def _repr_svg_(self): return '<svg><script/></svg>'\n"
)


async def test_pictures_are_files(embedded: Server, start: Start):
    """A link to a file that only we can read; what could hold a script is told and not saved."""
    terminal = await start(embedded.url)
    await terminal.paste(PICTURE)
    await terminal.press("Enter")
    await terminal.ends_with(">>>")
    await terminal.enter("Picture()")
    text = await terminal.shows("[image/png, 70 bytes: file:///", "[image/svg+xml: not saved")
    path = Path(text.partition("file://")[2].partition("]")[0])
    try:
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.parent.stat().st_mode & 0o777 == 0o700
    finally:
        path.unlink()
        path.parent.rmdir()


async def test_b08_a_tenant_cannot_act_on_the_terminal(embedded: Server, start: Start):
    """Output, an exception's text, a value, names of variables and files, a prompt: shown, not obeyed."""
    terminal = await start(embedded.url)
    before = await terminal.settings()
    evil = "'\\x1b]0;evil\\x07\\x1b]52;c;ZXZpbA==\\x07\\x1b[?1049h\\x1b[?25l\\x1b[2J\\x9b2J\\u202e'"
    await terminal.enter(f"e = {evil}; print(e)")
    await terminal.enter("import sys; print(e, file=sys.stderr)")
    await terminal.enter("open('file' + e.replace('/', ''), 'w').close()")
    await terminal.enter("globals()['name' + e] = 1")
    await terminal.enter("type('E', (), {'__repr__': lambda s: 'value' + e})()")
    await terminal.enter("raise ValueError('raised' + e)")
    await terminal.enter(":vars name")
    await terminal.enter(":files")
    await terminal.enter("input('asked' + e)")
    await terminal.enter("answer")
    shown = "␛]0;evil␇␛]52;c;ZXZpbA==␇␛[?1049h␛[?25l␛[2J<U+009B>2J<U+202E>"
    text = await terminal.shows("'answer'\n>>>", f"asked{shown}", all_of_it=True)
    for where in ("\n", "value", "ValueError: raised", "\nname", "\nfile"):
        assert where + shown in text, where
    assert await terminal.settings() == before
    assert "evil" not in await terminal.clipboard()


async def test_ctrl_c_ends_a_command_that_waits(embedded: Server, start: Start):
    """`:vars` waits behind an eval of somebody else's; after Ctrl-C the prompt is there."""
    terminal = await start(embedded.url)
    text = await terminal.shows("[session ses_")
    session = text.partition("[session ")[2].partition(";")[0]
    async with AsyncClient(TOKEN, embedded.url) as client, client.attach(session) as other:
        begun = asyncio.Event()
        code = "import time; print('on'); time.sleep(20)"
        running = asyncio.create_task(other.run(code, on_stdout=lambda text: begun.set()))
        await begun.wait()
        await terminal.enter(":vars")
        await terminal.ends_with(">>> :vars")
        await terminal.interrupt()
        await terminal.ends_with("^C[not waiting any longer]", ">>>")
        await terminal.enter(":interrupt")
        await terminal.shows("[interrupted]")
        assert (await running).error.code == "interrupted"


async def test_without_a_server_one_is_offered(start: Start, state: Path, folder: Path):
    """Yes starts it; a key or an address that was given is taken at its word."""
    terminal = Terminal(folder)
    environment = {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "LANG": "C.UTF-8",
        "BASCULE_HISTORY": "",
        "TMPDIR": str(state),
    }
    await terminal.start(environment, *BASCULE, "repl")
    try:
        await terminal.shows("no API key", "Start one here for this prompt")
        await terminal.enter("y")
        await terminal.ends_with(">>>")
        await terminal.enter("6 * 7")
        await terminal.ends_with("42", ">>>")
        await terminal.press("C-d")
        assert await terminal.ended() == 0
    finally:
        await terminal.stop()
    assert list(state.iterdir()) == []
    await terminal.start(
        {**environment, "BASCULE_API_KEY": "k", "BASCULE_API_URL": "ws://127.0.0.1:1"}, *BASCULE, "repl"
    )
    try:
        assert await terminal.ended() == 5
        assert "Start one here" not in await terminal.screen()
    finally:
        await terminal.stop()


async def test_colon_commands(embedded: Server, start: Start, tmp_path: Path):
    """Each of them, and words for what cannot be done."""
    terminal = await start(embedded.url)
    (tmp_path / "program.py").write_text("loaded = 6 * 7\nprint('from', 'a file')\n")
    await terminal.enter(f":load {tmp_path}/program.py")
    await terminal.ends_with("from a file", ">>>")
    for typed, shown in (
        (":help", "Alt-Enter"),
        (":vars load", "loaded  int   28     42"),
        (":info", embedded.url),
        (":info len", "Return the number of items in a container."),
        (":info nothing", "[nothing stands for nothing here]"),
        (":files none", "not_found"),
        (":load", "[usage: :load FILE]"),
        (":load /none", "[/none: No such file or directory]"),
        (":interrupt", "[idle]"),
        (":reconnect", "[reconnected after"),
        (":nonsense", "[there is no command :nonsense; `:help` lists them]"),
    ):
        await terminal.enter(typed)
        await terminal.shows(shown)
    await terminal.enter("loaded")
    await terminal.ends_with("42", ">>>")


async def test_a_session_is_left_and_found_again(embedded: Server, start: Start, folder: Path):
    """`:detach` says how to come back; the history is there as well, and only its owner can read it."""
    terminal = await start(embedded.url)
    await terminal.enter("kept = 42")
    await terminal.enter(":detach")
    assert await terminal.ended() == 0
    text = await terminal.shows("[the session goes on; come back with: bascule repl --session ses_")
    session = text.partition("--session ")[2].partition("]")[0]
    assert (folder / "history").stat().st_mode & 0o777 == 0o600
    await terminal.stop()
    terminal = await start(embedded.url, "session", "attach", session)
    await terminal.press("Up", "Up")
    await terminal.shows(">>> kept = 42")
    await terminal.press("C-c")
    await terminal.enter("kept")
    await terminal.ends_with("42", ">>>")


async def test_an_embedded_server_starts_and_ends_with_the_prompt(start: Start, state: Path):
    """Nothing is left: no process, no folder."""
    terminal = await start("", "repl", "--embedded", TMPDIR=str(state))
    await terminal.enter("6 * 7")
    await terminal.ends_with("42", ">>>")
    await terminal.press("C-d")
    assert await terminal.ended() == 0
    await terminal.stop()
    assert (leftovers(str(state)), list(state.iterdir())) == ([], [])
