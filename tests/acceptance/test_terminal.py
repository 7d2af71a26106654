"""`bascule repl` in a real terminal: what is typed, what is seen, what is left behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from bascule import AsyncClient
from support.network import network
from support.processes import leftovers
from support.server import TOKEN, Server
from support.tmux import Terminal

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis, pytest.mark.tmux]

Start = Callable[..., Awaitable[Terminal]]

BASCULE = (sys.executable, "-m", "orchestrator")

ONE_PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)  # fmt: skip
PICTURE = (
    "import base64\n"
    "class Picture:\n"
    f"    def _repr_png_(self): return base64.b64decode('{ONE_PIXEL}')\n"
    "    def _repr_svg_(self): return '<svg><script/></svg>'\n"
)
STUBBORN = """
import time
print('go', 'ing')
while True:
    try:
        time.sleep(1)
    except KeyboardInterrupt:
        print('no', '!')
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Of the terminal; its path is short, as sockets need it."""
    made = Path(tempfile.mkdtemp(prefix="bascule-tmux-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
async def start(folder: Path) -> AsyncIterator[Start]:
    """Starts `bascule repl` in a terminal, once."""
    terminal = Terminal(folder)

    async def run(url: str, *words: str, **more: str) -> Terminal:
        environment = {
            "BASCULE_API_KEY": TOKEN, "BASCULE_API_URL": url, "BASCULE_HISTORY": str(folder / "history"),
            "PYTHONPATH": os.pathsep.join(sys.path), "LANG": "C.UTF-8", **more,
        }  # fmt: skip
        await terminal.start(environment, *BASCULE, *(words or ("repl",)))
        await terminal.ends_with(">>>")
        return terminal

    yield run
    await terminal.stop()


async def test_lines_blocks_values_and_errors(embedded: Server, start: Start):
    """A block goes over several lines with its indent; what is typed ahead keeps its order; one traceback is shown."""
    terminal = await start(embedded.url)
    for line in ("x = 41", "x + 1", "for n in range(3):", "if n:", "print('line', n * 7)"):
        await terminal.enter(line)
    await terminal.press("Enter")
    text = await terminal.shows("\n42\n", "\nline 7\nline 14\n>>>")
    assert "...         print('line', n * 7)" in text
    await terminal.enter("1 / 0")
    text = await terminal.shows("ZeroDivisionError: division by zero\n>>>")
    assert text.count("Traceback") == 1
    await terminal.press("C-d")
    assert await terminal.ended() == 0


async def test_completion_and_signatures_come_over_the_wire(embedded: Server, start: Start):
    """Names that only the session knows: by Tab, and below the line while a call is typed."""
    terminal = await start(embedded.url)
    await terminal.enter("def measure(alpha_particle, beta=2): return alpha_particle, beta")
    await terminal.ends_with(">>>")
    await terminal.type("meas")
    await terminal.press("Tab")
    await terminal.shows(">>> measure")
    await terminal.type("(")
    await terminal.shows(">>> measure(\n", "measure(alpha_particle, beta=2)\n")
    await terminal.enter("1)")
    await terminal.shows("\n(1, 2)\n>>>")
    await terminal.enter("number = 1")
    await terminal.type("number.bit_")
    await terminal.press("Tab")
    await terminal.shows("bit_count", "bit_length")


async def test_ctrl_c_interrupts_and_the_session_goes_on(embedded: Server, start: Start):
    """At the prompt it clears the line; a loop ends with KeyboardInterrupt; the variables are there."""
    terminal = await start(embedded.url)
    await terminal.type("nonsense(")
    await terminal.press("C-c")
    await terminal.enter("x = 7; print('run', 'ning'); exec('while True: pass')")
    await terminal.shows("run ning")
    await terminal.press("C-c")
    await terminal.shows("KeyboardInterrupt\n>>>")
    await terminal.enter("x * 6")
    await terminal.ends_with("42", ">>>")


async def test_a_second_ctrl_c_waits_no_longer(embedded: Server, start: Start):
    """Code that swallows the first one: the prompt is back at once, and after the grace so is the last commit."""
    terminal = await start(embedded.url)
    await terminal.enter("x = 7")
    await terminal.ends_with(">>> x = 7", ">>>")
    await terminal.paste(STUBBORN)
    await terminal.press("Enter")
    await terminal.shows("go ing")
    await terminal.press("C-c")
    await terminal.shows("no !")
    await terminal.press("C-c")
    await terminal.shows("[not waiting any longer")
    await terminal.shows("[rolled back to eval 1: interrupted]")
    await terminal.enter("x * 6")
    await terminal.ends_with("42", ">>>")


async def test_output_is_drawn_while_it_runs(embedded: Server, start: Start):
    """A progress bar moves in one line; a prompt never hides the end of a line that has none."""
    terminal = await start(embedded.url)
    await terminal.enter("for i in range(0, 101, 50): print(f'\\r{i:3} %', end='', flush=True); input()")
    await terminal.press("Enter")
    for percent in ("  0 %", " 50 %", "100 %"):
        text = await terminal.shows(percent)
        await terminal.press("Enter")
    await terminal.ends_with(">>>")
    await terminal.enter("print('no end', end='')")
    text = await terminal.shows("no end\n>>>")
    assert "\x1b" not in text


async def test_long_output_comes_whole_and_in_order(embedded: Server, start: Start):
    """20,000 lines, none missing; then the next input works."""
    terminal = await start(embedded.url)
    await terminal.enter("print(*range(20000), sep='\\n')")
    await terminal.ends_with("19998", "19999", ">>>")
    lines = (await terminal.screen(all_of_it=True)).split("\n")
    assert [line for line in lines if line.isdigit()] == [str(n) for n in range(20000)]
    await terminal.enter("6 * 7")
    await terminal.ends_with("42", ">>>")


async def test_a_lost_connection_is_one_line(embedded: Server, start: Start):
    """In the middle of an eval, at the prompt, and when the server itself was killed."""
    async with network(embedded.url) as between:
        terminal = await start(between.url)
        await terminal.paste("import time\nx = 7\nfor i in range(30): print('part', i); time.sleep(0.1)\n")
        await terminal.press("Enter")
        await terminal.shows("part 5")
        between.reset()
        text = await terminal.shows("[reconnected after", "part 29\n>>>", all_of_it=True)
        assert [line for line in text.split("\n") if line.startswith("part")] == [f"part {i}" for i in range(30)]
        between.reset()
        await embedded.kill()
        await embedded.start()
        await terminal.enter("x * 6")
        text = await terminal.shows("\n42\n>>>")
        assert text.count("[reconnected after") >= 2
        assert "[connection lost" not in text


async def test_input_and_getpass_are_asked(embedded: Server, start: Start):
    """With their prompts; a password is not on the screen, and neither answer is in the history."""
    terminal = await start(embedded.url)
    await terminal.enter("from getpass import getpass")
    await terminal.enter("input('your name? ')")
    await terminal.ends_with(">>> input('your name? ')", "your name?")
    await terminal.enter("Ada")
    await terminal.shows("'Ada'\n>>>")
    await terminal.enter("len(getpass('secret? '))")
    await terminal.ends_with(">>> len(getpass('secret? '))", "secret?")
    await terminal.enter("swordfish")
    text = await terminal.shows("\n9\n>>>")
    assert "swordfish" not in text
    await terminal.press("Up")
    await terminal.ends_with("9", ">>> len(getpass('secret? '))")


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
        await terminal.press("C-c")
        await terminal.ends_with("^C>>>")
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
