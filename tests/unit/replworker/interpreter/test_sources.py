"""Source texts are kept up to a limit, wherever they are shown."""

import types

from replworker.interpreter.sources import SOURCES_CHARS_MAX, Sources


def test_the_oldest_texts_are_forgotten_everywhere():
    """A long session's texts fill neither the table nor `linecache`."""
    linecache = types.ModuleType("linecache")
    cache = vars(linecache)["cache"] = {}
    sources = Sources()
    sources.add("<eval 1>", "first = 1")
    sources.show_in(linecache)
    for number in range(2, 8):
        sources.add(f"<eval {number}>", "x" * (SOURCES_CHARS_MAX // 4))
    assert list(sources.texts) == list(cache) == ["<eval 4>", "<eval 5>", "<eval 6>", "<eval 7>"]
    assert cache["<eval 7>"][0] == SOURCES_CHARS_MAX // 4
