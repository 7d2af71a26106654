"""What is written where, in which order, and on lines of its own."""

from __future__ import annotations

import io

import pytest

from bascule.events import Disconnected, Reconnected, RolledBack, Status
from bascule.terminal.notices import Notices, names_of
from bascule.terminal.screen import Screen
from bascule.terminal.tables import table


class Tty(io.StringIO):
    """A terminal that keeps what was written."""

    def isatty(self) -> bool:
        """Yes."""
        return True


@pytest.fixture
def tty() -> Tty:
    """One for both streams."""
    return Tty()


async def test_a_prompt_begins_on_a_line_of_its_own(tty: Tty):
    """After output without a line end; not after one that has one, whatever colours follow it."""
    screen = Screen(tty, tty)
    for text in ("no end", "with end\n", "\x1b[31mred\n\x1b[0m", ""):
        await screen.write(text)
        await screen.finish()
    assert tty.getvalue() == "no end\nwith end\n\x1b[31mred\n\x1b[0m"


async def test_nothing_is_added_to_a_pipe():
    """What a program writes is what the next one reads."""
    out, err = io.StringIO(), io.StringIO()
    screen = Screen(out, err)
    await screen.write("no end")
    await screen.tell("a word of ours")
    await screen.finish()
    assert (out.getvalue(), err.getvalue()) == ("no end", "[a word of ours]\n")


async def test_our_own_words_have_a_line_of_their_own_and_are_filtered(tty: Tty):
    """Also in the middle of a line of the tenant's."""
    screen = Screen(tty, tty)
    await screen.write("50 %")
    await screen.tell("rolled back: \x1b[2J")
    assert tty.getvalue() == "50 %\n\x1b[2m[rolled back: ␛[2J]\x1b[0m\n"


async def test_a_lost_connection_is_one_line(tty: Tty):
    """The second note takes the place of the first; output between them begins below it."""
    notices = Notices(screen := Screen(tty, tty))
    await notices._tell(Disconnected("closed with 1006"))
    await notices._tell(Reconnected(1.23))
    assert tty.getvalue().split("\r\x1b[K")[1:] == ["\x1b[2m[reconnected after 1.2 s]\x1b[0m\n"]
    await notices._tell(Disconnected("again"))
    await screen.write("output")
    assert tty.getvalue().endswith("reconnecting…]\x1b[0m\noutput")
    await notices._tell(Disconnected("and again"))
    await screen.finish()
    assert tty.getvalue().endswith("reconnecting…]\x1b[0m\n")


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (RolledBack(3, "memory_limit", 2), "[rolled back to eval 3: memory_limit]\n"),
        (Status("restoring", "worker_died"), "[restoring: worker_died]\n"),
        (Status("ready", unsaved={"f": "an open file"}), "[could not be brought back: f (an open file)]\n"),
        (Status("busy"), ""),
    ],
)
async def test_what_people_should_know_is_told(event, words: str):
    """And the rest is not."""
    err = io.StringIO()
    await Notices(Screen(io.StringIO(), err))._tell(event)
    assert err.getvalue() == words


def test_many_names_are_counted():
    """The first ten are named."""
    assert names_of({f"n{i}": "why" for i in range(12)}).endswith("n9 (why) and 2 more")


def test_a_table_has_one_line_for_each_row():
    """Whatever is in its cells."""
    text = table(("name", "bytes"), [("a\nb\x1b[2J", 10), ("c", None)])
    assert text == "name     bytes\na␊b␛[2J  10\nc\n"
