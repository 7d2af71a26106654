"""Judges a history: `python -m tests.durability.checker FILE…` prints what is wrong, by name, and ends with 0, 1 or 2.

It knows no server and no campaign: only the file (`history.py` has its form) and the promises of docs/specification.md.
0: nothing is wrong; 1: something is; 2: a file is no whole history, so that nothing can be said.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from .history import History, HistoryError, read_history
from .rules import events, outcomes, state
from .rules.finding import Finding

Rule = Callable[[History], Iterator[Finding]]

RULES: Final[Sequence[Rule]] = (
    state.unobserved,
    state.lost,
    state.doubled,
    state.phantom,
    state.reordered,
    state.counter,
    state.file,
    state.array,
    state.journal,
    outcomes.disagrees,
    outcomes.undone,
    outcomes.sequence,
    outcomes.etags,
    outcomes.durable,
    outcomes.answered,
    outcomes.refused,
    events.rolled_back,
    events.cursor_order,
)


def check(history: History) -> list[Finding]:
    """Everything that is wrong."""
    return [finding for rule in RULES for finding in rule(history)]


def summary(history: History) -> str:
    """What a clean history consisted of."""
    acknowledged = sum(item["outcome"]["state"] == "committed" for item in history.operations)
    return (
        f"{len(history.operations)} operations, {acknowledged} acknowledged, {len(history.faults)} faults, "
        f"{len(history.observations)} sessions"
    )


def main(arguments: Sequence[str]) -> int:
    """The program; see above."""
    if not arguments:
        sys.stderr.write("usage: python -m tests.durability.checker FILE…\n")
        return 2
    status = 0
    for name in arguments:
        try:
            history = read_history(Path(name))
        except HistoryError as error:
            sys.stderr.write(f"{name}: {error}\n")
            return 2
        findings = check(history)
        sys.stdout.writelines(f"{name}: {finding}\n" for finding in findings)
        if findings:
            status = 1
        else:
            sys.stdout.write(f"{name}: nothing is wrong: {summary(history)}\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
