"""What finds the doctests, run here as it runs in a session: source in a namespace."""

import doctest
import importlib
import json
import sys
import types

import pytest

from loadtests.conformance.run import EXTRACT

DOCSTRING = """
>>> 1 + 1
2
>>> print('a')  # doctest: +SKIP
b
>>> int('x')
Traceback (most recent call last):
ValueError: invalid literal for int() with base 10: 'x'
"""


@pytest.fixture
def extract():
    """Its functions, from its source."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    exec(compile(EXTRACT.read_text(), "<eval>", "exec"), namespace)
    return types.SimpleNamespace(**namespace)


@pytest.fixture
def module(monkeypatch):
    """Installs a module with that docstring."""

    def install(docstring):
        found = types.ModuleType("made_up", docstring)
        monkeypatch.setitem(sys.modules, "made_up", found)

    return install


def test_it_imports_nothing_of_ours():
    """A sandbox has the standard library only."""
    words = [line.split()[1] for line in EXTRACT.read_text().splitlines() if line.startswith(("import ", "from "))]
    assert set(words) <= sys.stdlib_module_names


def test_candidates_are_names_of_modules_and_text_files(extract):
    """Those with examples, and not those without."""
    names = json.loads(extract.candidates())
    assert {"heapq", "json", "difflib", "math", "importlib.metadata"} <= set(names)
    assert not {"abc", "re._casefix", "json.__init__"} & set(names)
    assert names == sorted(set(names))
    assert not [name for name in names if "site-packages" in name or name.endswith("__main__")]


def test_a_file_that_cannot_be_read_is_none(extract, tmp_path):
    """Debian's Python holds a link to a file that a sandbox does not see."""
    (tmp_path / "link.py").symlink_to(tmp_path / "gone.py")
    assert extract._mentions_examples(tmp_path / "link.py") is False


def test_each_example_is_described(extract, module):
    """Source, what it wants, the message of an exception, its options."""
    module(DOCSTRING)
    ((first, skipped, raises),) = (test["examples"] for test in json.loads(extract.examine("made_up")))
    assert first == {"source": "1 + 1\n", "want": "2\n", "exc_msg": None, "options": {}}
    assert skipped["options"] == {"SKIP": True}
    assert raises["exc_msg"] == "ValueError: invalid literal for int() with base 10: 'x'\n"


@pytest.mark.parametrize("name", ["heapq", "difflib", "collections"])
def test_every_example_of_a_module_is_found(extract, name):
    """As many as doctest's own runner tries."""
    found = sum(len(test["examples"]) for test in json.loads(extract.examine(name)))
    assert found == doctest.testmod(importlib.import_module(name)).attempted > 0


def test_a_module_without_examples_is_empty(extract, module):
    """It gives no doctest."""
    module("words")
    assert json.loads(extract.examine("made_up")) == []


def test_the_control_tells_what_pythons_own_runner_gets(extract, module):
    """Equal, different, an unexpected exception; what is skipped is not told."""
    module(DOCSTRING + ">>> 1 + 1\n3\n>>> 1 / 0\n")
    seen = json.loads(extract.control("made_up", []))
    assert seen["made_up#0"] == [True, "2\n"]
    assert "made_up#1" not in seen
    assert seen["made_up#2"][0] is True
    assert seen["made_up#3"] == [False, "2\n"]
    assert seen["made_up#4"] == [False, "ZeroDivisionError('division by zero')"]


def test_the_control_uses_the_modules_flags(extract, module):
    """As its own test does."""
    module(">>> print('a b c')\na ... c\n")
    assert json.loads(extract.control("made_up", []))["made_up#0"][0] is False
    assert json.loads(extract.control("made_up", ["ELLIPSIS"]))["made_up#0"][0] is True
