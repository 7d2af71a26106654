"""`bascule repl` in a real terminal: what is typed, what runs, what is seen."""

from __future__ import annotations

import pytest

from support.network import network
from support.server import Server
from support.terminals import Start

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis, pytest.mark.tmux]

STUBBORN = """
import time
print('go', 'ing')
while True:
    try:
        time.sleep(1)
    except KeyboardInterrupt:
        print('no', '!')
"""


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
        await terminal.ends_with("part 29", ">>>")
        await embedded.kill()
        await terminal.ends_with("part 29", ">>>", "reconnecting…")
        await terminal.type("x * ")
        await embedded.start()
        await terminal.shows("\npart 29\n[reconnected after", "\n>>> x *")
        await terminal.enter("6")
        text = await terminal.ends_with("42", ">>>")
        assert "[connection lost" not in text and text.count("\n>>>") == 2


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
