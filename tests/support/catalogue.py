"""`python -m tests.support.catalogue [--check]`: writes the page of cases and their tests, or fails when it is stale.

A case is done by the tests that bear its id (`test_a01_…`), or does not apply for a reason in `catalogue.toml`.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

CASES: Final = Path("tests/security/catalogue.toml")
TESTS: Final = Path("tests")
PAGE: Final = Path("docs/reference/catalogue.md")

_IDS: Final = re.compile(r"test_((?:(?:[a-z]\d\d_)(?:to_[a-z]\d\d_)?)+)")
_SPAN: Final = re.compile(r"([a-z])(\d\d)_(?:to_[a-z](\d\d)_)?")
_HEAD: Final = """# The catalogue of attacks

<!-- Made from the names of the tests and `tests/security/catalogue.toml` by `python -m tests.support.catalogue`. -->

Each case has an id; the tests that show how it is answered bear it in their names.
"""


def found_by_case(folder: Path) -> dict[str, list[str]]:
    """`file::test` of every test that bears an id, by the id."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("test_*.py")):
        for name, case in _named(path):
            found.setdefault(case, []).append(f"{path.relative_to(folder)}::{name}")
    return found


def _named(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (match := _IDS.match(node.name)):
            yield from ((node.name, case) for case in _cases(match[1]))


def _cases(text: str) -> Iterator[str]:
    """`a01_a02_` names two cases, `a01_to_a09_` nine."""
    for group, first, last in _SPAN.findall(text):
        yield from (f"{group.upper()}{number:02}" for number in range(int(first), int(last or first) + 1))


def page(groups: Mapping[str, Any], tests: Mapping[str, list[str]]) -> str:
    """The page's text."""
    return "\n".join((_HEAD, *(_group(name, group, tests) for name, group in groups.items())))


def _group(name: str, group: Mapping[str, Any], tests: Mapping[str, list[str]]) -> str:
    cases = group["cases"]
    rows = (f"| {id_} | {case['case']} | {_answer(case, tests.get(id_, []))} |" for id_, case in cases.items())
    open_ = ", ".join(open_cases(group, tests)) or "none"
    head = f"## {name}: {group['title']}\n\n{len(cases)} cases; open: {open_}.\n"
    return "\n".join((head, "| id | case | answer |", "| --- | --- | --- |", *rows, ""))


def _answer(case: Mapping[str, str], tests: list[str]) -> str:
    done = f"done: {', '.join(f'`{test}`' for test in tests)}" if tests else ""
    reason = f"does not apply because {case['reason']}" if "reason" in case else ""
    return "; ".join(filter(None, (done, f"a part {reason}" if done and reason else reason))) or "open"


def open_cases(group: Mapping[str, Any], tests: Mapping[str, list[str]]) -> list[str]:
    """Ids without a test and without a reason."""
    return [id_ for id_, case in group["cases"].items() if not tests.get(id_) and "reason" not in case]


def complaints(groups: Mapping[str, Any], tests: Mapping[str, list[str]], shown: str) -> Iterator[str]:
    """What is wrong with the page and the cases."""
    known = {id_ for group in groups.values() for id_ in group["cases"]}
    for id_ in sorted(set(tests) - known):
        if id_[0] in groups:
            yield f"{tests[id_][0]}: there is no case {id_}"
    for name, group in groups.items():
        if group["closed"]:
            yield from (f"{CASES}: {id_} of the closed group {name} has no test" for id_ in open_cases(group, tests))
    if shown != page(groups, tests):
        yield f"{PAGE} is stale: run `python -m tests.support.catalogue`"


def main(arguments: list[str]) -> int:
    """Write the page; with `--check`, say what is wrong and return 1."""
    groups, tests = tomllib.loads(CASES.read_text(encoding="utf-8")), found_by_case(TESTS)
    if "--check" not in arguments:
        PAGE.write_text(page(groups, tests), encoding="utf-8")
        return 0
    found = list(complaints(groups, tests, PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""))
    sys.stderr.writelines(f"{line}\n" for line in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
