"""Sent into a session as code: finds the doctests of the Python that runs there, and what its own runner makes of them.

Standard library only, no imports of ours, Python 3.11 and newer. Every function returns JSON text.
"""

import doctest
import importlib
import json
import os
import sys

MARK = ">>> "
TEXT_FILE = ".txt"
NO_PACKAGES = {"__pycache__", "site-packages", "dist-packages", "lib-dynload"}


def candidates() -> str:
    """Names of modules and text files of the standard library that may hold examples."""
    top = os.path.dirname(os.__file__)
    found = {name for name in sys.stdlib_module_names if _has_no_source(top, name)}
    for folder, folders, files in os.walk(top):
        folders[:] = [name for name in folders if name not in NO_PACKAGES and name.isidentifier()]
        for file in files:
            path = os.path.join(folder, file)
            if file.endswith((".py", TEXT_FILE)) and file != "__main__.py" and _mentions_examples(path):
                found.add(_name(os.path.relpath(path, top)))
    return json.dumps(sorted(found))


def _has_no_source(top: str, name: str) -> bool:
    place = os.path.join(top, name)
    return not os.path.exists(place + ".py") and not os.path.isdir(place)


def _mentions_examples(path: str) -> bool:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return MARK in file.read()
    except OSError:
        return False  # a link out of the sandbox


def _name(path: str) -> str:
    if path.endswith(TEXT_FILE):
        return path
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def examine(name: str) -> str:
    """The doctests of one module or text file: `[{"doctest", "examples": [{"source", "want", …}]}]`."""
    return json.dumps([_described(test) for test in _doctests(name)])


def _doctests(name: str) -> list[doctest.DocTest]:
    if not name.endswith(TEXT_FILE):
        return [test for test in doctest.DocTestFinder().find(importlib.import_module(name), name) if test.examples]
    with open(os.path.join(os.path.dirname(os.__file__), name), encoding="utf-8") as file:
        return [doctest.DocTestParser().get_doctest(file.read(), {"__name__": "__main__"}, name, name, 0)]


def _described(test: doctest.DocTest) -> dict[str, object]:
    flags = doctest.OPTIONFLAGS_BY_NAME
    return {
        "doctest": test.name,
        "examples": [
            {
                "source": example.source, "want": example.want, "exc_msg": example.exc_msg,
                "options": {name: example.options[flag] for name, flag in flags.items() if flag in example.options},
            }
            for example in test.examples
        ],
    }  # fmt: skip


class _Control(doctest.DocTestRunner):
    """Python's own runner; remembers for each example whether it was as wanted, and what was shown."""

    def __init__(self, flags: int) -> None:
        super().__init__(verbose=False, optionflags=flags)
        self.seen: dict[str, list[object]] = {}

    def _remember(self, test, example, equal, got):
        self.seen[f"{test.name}#{test.examples.index(example)}"] = [equal, got]

    def report_start(self, out, test, example):
        """Nothing to say."""

    def report_success(self, out, test, example, got):
        """It is as wanted."""
        self._remember(test, example, True, got)

    def report_failure(self, out, test, example, got):
        """It is not."""
        self._remember(test, example, False, got)

    def report_unexpected_exception(self, out, test, example, exc_info):
        """Nor is that."""
        self._remember(test, example, False, repr(exc_info[1]))


def control(name: str, flags: list[str]) -> str:
    """What Python's own runner sees in the same place: `{"doctest#index": [equal, shown]}`."""
    runner = _Control(sum(doctest.OPTIONFLAGS_BY_NAME[flag] for flag in flags))
    for test in _doctests(name):
        runner.run(test, out=lambda _: None)
    return json.dumps(runner.seen)
