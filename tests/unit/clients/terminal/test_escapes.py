"""B08 of the catalogue: what a tenant writes cannot act on the terminal that shows it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.terminal.escapes import RESET, Filter, one_line, safe

# Every way to bring a terminal to do something that is no colour: what is written, what is shown.
ATTACKS = {
    "clipboard (OSC 52)": ("\x1b]52;c;cm0gLXJmIC8=\x07", "␛]52;c;cm0gLXJmIC8=␇"),
    "link (OSC 8)": ("\x1b]8;;http://evil\x1b\\here\x1b]8;;\x1b\\", "␛]8;;http://evil␛\\here␛]8;;␛\\"),
    "title (OSC 0)": ("\x1b]0;root@host\x07", "␛]0;root@host␇"),
    "title, asked for (CSI 21 t)": ("\x1b[21t", "␛[21t"),
    "DECRQSS": ('\x1bP$q"p\x1b\\', '␛P$q"p␛\\'),
    "device attributes (DA)": ("\x1b[c\x1b[>c\x05", "␛[c␛[>c␅"),
    "place of the cursor, asked for (DSR)": ("\x1b[6n", "␛[6n"),
    "cursor up": ("\x1b[3A", "␛[3A"),
    "cursor home and clear": ("\x1b[H\x1b[2J", "␛[H␛[2J"),
    "cursor saved and restored": ("\x1b7\x1b8", "␛7␛8"),
    "alternate screen": ("\x1b[?1049h", "␛[?1049h"),
    "hidden cursor": ("\x1b[?25l", "␛[?25l"),
    "full reset": ("\x1bc", "␛c"),
    "keys remapped (DCS)": ("\x1bP1;1|17/6c73\x1b\\", "␛P1;1|17/6c73␛\\"),
    "other character set": ("\x1b(0\x0e", "␛(0␎"),
    "CSI as one character (C1)": ("\x9b2J", "<U+009B>2J"),
    "OSC as one character (C1)": ("\x9d0;t\x9c", "<U+009D>0;t<U+009C>"),
    "bell, form feed, vertical tab": ("\a\f\v", "␇␌␋"),
    "DEL and NUL": ("\x7f\x00", "␡␀"),
    "order of text (bidi)": ("a\u202eb\u2066c\u2069\u200f", "a<U+202E>b<U+2066>c<U+2069><U+200F>"),
    "nobody sees it": ("a\u200bb\ufeff\u2060\xad", "a<U+200B>b<U+FEFF><U+2060><U+00AD>"),
    "other line ends": ("a\u2028b\u2029", "a<U+2028>b<U+2029>"),
    "tags": ("\U000e0041", "<U+E0041>"),
    "half a character": ("\ud800", "<U+D800>"),
    "hidden text (SGR 8)": ("\x1b[8mpassword\x1b[0m", "␛[8mpassword\x1b[0m"),
    "blinking (SGR 5)": ("\x1b[1;5mhey", "␛[1;5mhey"),
    "a colour with a private mark": ("\x1b[>4;2m\x1b[?1m", "␛[>4;2m␛[?1m"),
    "a colour that never ends": ("\x1b[" + "1;" * 60 + "m", "␛[" + "1;" * 60 + "m"),
    "half a colour": ("\x1b[38;8m\x1b[38;5m\x1b[38;2;1;8m", "␛[38;8m␛[38;5m␛[38;2;1;8m"),
    "an escape within a colour": ("\x1b[1\x1b[31m", "␛[1\x1b[31m"),
}

PASSING = (
    "plain", "tab\there", "50 %\r60 %", "back\b\b", "line\nline", "\x1b[31mred\x1b[0m", "\x1b[m", "\x1b[1;4;38;5;200mx",
    "\x1b[38;2;5;8;6mx", "\x1b[48:2::5:8:6mx", "\x1b[4:3mx", "ünï 日本 👩‍👩‍👧 é",
)  # fmt: skip

HARMLESS = re.compile(r"\x1b\[[0-9;:]*m|[^\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.mark.parametrize(("written", "shown"), ATTACKS.values(), ids=ATTACKS)
def test_b08_an_escape_is_shown_and_not_obeyed(written: str, shown: str):
    """In one piece, and a character at a time."""
    assert safe(written) == shown
    pieces = Filter()
    shown_in_pieces = "".join(map(pieces.feed, written)) + pieces.end()
    assert shown_in_pieces in (shown, shown + RESET)


@pytest.mark.parametrize("text", PASSING)
def test_b08_colours_and_progress_bars_pass(text: str):
    """As they are."""
    assert safe(text) == text
    pieces = Filter()
    assert "".join(map(pieces.feed, text)) + pieces.end() in (text, text + RESET)


def test_b08_a_name_has_one_line_and_no_colour():
    """Line ends, tabs and colours of a name are written out too."""
    assert one_line("a\x1b[31mb\r\n\tc\u202e") == "a␛[31mb␍␊␉c<U+202E>"


def test_a_colour_that_was_left_on_ends_with_the_output():
    """So that the prompt after it has its own."""
    pieces = Filter()
    assert pieces.feed("\x1b[31mred") == "\x1b[31mred"
    assert (pieces.end(), pieces.end()) == ("\x1b[0m", "")


def test_what_could_begin_a_colour_waits_for_the_rest():
    """And is shown when nothing comes."""
    pieces = Filter()
    assert [pieces.feed("a\x1b"), pieces.feed("[3"), pieces.feed("1mb")] == ["a", "", "\x1b[31mb"]
    assert pieces.feed("\x1b[") == ""
    assert pieces.end() == "␛[\x1b[0m"


@given(st.lists(st.text(st.sampled_from("\x1b\x9b[]0;:1358?mHJab\r\n\t\b\a\u202e\ud800é")), max_size=8))
def test_b08_nothing_else_ever_passes(pieces: list[str]):
    """However it is cut: the shown text is made of colours and harmless characters."""
    filtered = Filter()
    shown = "".join(map(filtered.feed, pieces)) + filtered.end()
    assert HARMLESS.sub("", shown) == ""
    whole = safe("".join(pieces))
    assert shown in (whole, whole + RESET)
