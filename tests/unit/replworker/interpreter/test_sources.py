"""Source texts are kept up to a limit, wherever they are shown."""

import types
from typing import Any

from replworker.interpreter.sources import SOURCES_CHARS_MAX, Sources

QUARTER = "x" * (SOURCES_CHARS_MAX // 4)


def test_the_oldest_texts_are_forgotten_everywhere():
    """A long session's texts fill neither the table nor `linecache`."""
    linecache = types.ModuleType("linecache")
    cache = vars(linecache)["cache"] = {}
    sources = Sources()
    sources.add("<eval 1>", "first = 1")
    sources.show_in(linecache)
    for number in range(2, 8):
        sources.add(f"<eval {number}>", QUARTER)
    assert list(sources.texts) == list(cache) == ["<eval 5>", "<eval 6>", "<eval 7>"]
    assert cache["<eval 7>"][0] == SOURCES_CHARS_MAX // 4


def test_texts_that_live_functions_come_from_stay_longest():
    """However old they are; a text alone that is over the limit stays too."""
    namespace: dict[str, Any] = {}
    sources = Sources()
    sources.add("<eval 1>", "def f(): pass")
    exec(compile("def f(): pass", "<eval 1>", "exec"), namespace)
    for number in range(2, 8):
        sources.add(f"<eval {number}>", QUARTER)
    assert list(sources.texts) == ["<eval 1>", "<eval 6>", "<eval 7>"]
    sources.add("<eval 8>", "y" * (SOURCES_CHARS_MAX + 1))
    assert list(sources.texts) == ["<eval 8>"]


def test_of_texts_that_are_all_in_use_the_oldest_goes():
    """The limit holds."""
    namespaces: list[dict[str, Any]] = []
    sources = Sources()
    for number in range(1, 7):
        namespaces.append({})
        exec(compile("def f(): pass", f"<eval {number}>", "exec"), namespaces[-1])
        sources.add(f"<eval {number}>", QUARTER)
    assert list(sources.texts) == ["<eval 3>", "<eval 4>", "<eval 5>", "<eval 6>"]
