"""Whether what a session shows is what a doctest wants: `doctest`'s own judgement, on a `result`'s payload. Pure."""

from __future__ import annotations

import doctest
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Example:
    """One example of a doctest, as `extract` describes it."""

    doctest: str
    index: int
    source: str
    want: str
    exc_msg: str | None
    flags: int

    @property
    def name(self) -> str:
        """By which the report and the table of reasons know it."""
        return f"{self.doctest}#{self.index}"

    @property
    def skipped(self) -> bool:
        """The file itself says that it is not to be run."""
        return bool(self.flags & doctest.SKIP)


def examples_of(described: Mapping[str, Any], flags: Iterable[str]) -> list[Example]:
    """The examples of one described doctest, under the file's own flags and each example's own."""
    base = _flag_bits(flags)
    found = []
    for index, item in enumerate(described["examples"]):
        on = _flag_bits(name for name, given in item["options"].items() if given)
        off = _flag_bits(name for name, given in item["options"].items() if not given)
        source, want, message = item["source"], item["want"], item["exc_msg"]
        found.append(Example(described["doctest"], index, source, want, message, (base | on) & ~off))
    return found


def _flag_bits(names: Iterable[str]) -> int:
    bits = 0
    for name in names:
        bits |= doctest.OPTIONFLAGS_BY_NAME[name]
    return bits


@dataclass(frozen=True, slots=True)
class Shown:
    """What an interactive user would see: text, or the message of an exception."""

    text: str
    exception: str | None

    @property
    def words(self) -> str:
        """For the report."""
        return self.text if self.exception is None else self.exception


def shown(payload: Mapping[str, Any]) -> Shown:
    """Of a `result`: what was printed and then the value, each as an interactive Python shows it.

    A last line without its end gets one, as from doctest: an example has no way to say that it is missing.
    """
    value = "" if payload["output"] is None else f"{payload['output']}\n"
    text = payload["stdout"] + value
    return Shown(text if not text or text.endswith("\n") else f"{text}\n", exception_of(payload))


def exception_of(payload: Mapping[str, Any]) -> str | None:
    """The end of the traceback, from the line that begins with the exception's name; None without an error."""
    error = payload["error"]
    if error is None:
        return None
    name = error["name"].rpartition(".")[2]
    starts = re.finditer(rf"^(?:[\w.<>]+\.)?{re.escape(name)}(?=:|$)", payload["stderr"], re.MULTILINE)
    begin = _start_of(payload["stderr"], [match.start() for match in starts], error["message"])
    return payload["stderr"][begin:] if begin is not None else f"{error['name']}: {error['message']}\n"


def _start_of(text: str, starts: list[int], message: str) -> int | None:
    """The last place that goes on with the message; a message may hold lines that look like another place."""
    first_line = message.partition("\n")[0]
    matching = [start for start in starts if first_line in text[start:].partition("\n")[0]]
    found = matching or starts
    return found[-1] if found else None


def is_equal(example: Example, seen: Shown) -> bool:
    """`DocTestRunner`'s rules: an exception is compared by its message alone, anything else by what was shown."""
    check = doctest.OutputChecker().check_output
    if seen.exception is None:
        return check(example.want, seen.text, example.flags)
    if example.exc_msg is None:
        return False
    if check(example.exc_msg, seen.exception, example.flags):
        return True
    if not example.flags & doctest.IGNORE_EXCEPTION_DETAIL:
        return False
    return check(without_detail(example.exc_msg), without_detail(seen.exception), example.flags)


def without_detail(message: str) -> str:
    """The exception's class alone, without its module, as `IGNORE_EXCEPTION_DETAIL` has it."""
    return message.partition("\n")[0].partition(":")[0].rpartition(".")[2]
