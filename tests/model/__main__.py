"""`python -m tests.model [--evals N] [--faults N] …`: explore the model's state space and say what was found.

Without options: every setup of the test suite. With any size given: one run of that size. Exit status 0 when all
promises hold in every state, 1 when one is broken (the shortest trace is printed), 3 when the limit on states ended
the run before.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Final

from .exploring import STATES_MAX, Progress, Report, explore
from .promises import NAMES
from .setup import Broken, Fault, Setup
from .setups import ANY, BROKEN, SETUPS

BROKEN_STATUS: Final = 1
LIMIT_STATUS: Final = 3
PROGRESS_EVERY_S: Final = 2.0
_FAULT_NAMES: Final = {fault.name.lower(): fault for fault in Fault}
_RULE_NAMES: Final = {rule.name.lower(): rule for rule in Broken}


def main(words: list[str]) -> int:
    """Explore; the exit status."""
    options = _parser().parse_args(words)
    status = 0
    for name, setup in _wanted(options).items():
        print(f"== {name}", flush=True)
        report = explore(setup, _progress(), options.states_max)
        print(in_words(report), flush=True)
        status = max(status, _status(report))
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--evals", type=int, help="evals, each under an id of its own")
    parser.add_argument("--faults", type=int, help="faults in one run at most")
    parser.add_argument("--attempts", type=int, help="times that a client sends each id of its own accord")
    parser.add_argument("--parks", type=int, help="times that the session may be parked")
    parser.add_argument("--kinds", nargs="+", choices=sorted(_FAULT_NAMES), help="which faults (default: all but "
                        "those of the store and of the interpreter)")  # fmt: skip
    parser.add_argument("--rewind", action="store_true", help="one more request: a rewind")
    parser.add_argument("--shadow", action="store_true", help="snapshots may leave a shadow")
    parser.add_argument("--heavy", type=int, nargs="+", help="requests whose state is too large to commit alone")
    parser.add_argument("--without", choices=sorted(_RULE_NAMES), help="leave a rule out, and see it found")
    parser.add_argument("--states-max", type=int, default=STATES_MAX, help=f"give up above (default: {STATES_MAX:,})")
    return parser


def _wanted(options: argparse.Namespace) -> dict[str, Setup]:
    rule = _RULE_NAMES.get(options.without)
    base = BROKEN[rule][0]._replace(broken=rule) if rule else Setup(kinds=ANY)
    sizes = {name: getattr(options, name) for name in ("evals", "faults", "attempts", "parks")}
    sizes = {name: size for name, size in sizes.items() if size is not None}
    setup = base._replace(**sizes, rewind=options.rewind or base.rewind, shadow=options.shadow or base.shadow)
    if options.kinds:
        setup = setup._replace(kinds=frozenset(_FAULT_NAMES[kind] for kind in options.kinds))
    if options.heavy:
        setup = setup._replace(heavy=frozenset(options.heavy))
    if rule is None and setup == base:
        return SETUPS
    return {rule.value if rule else "as asked for": setup}


def _progress() -> Progress:
    """On standard error, every few seconds."""
    began = told = time.perf_counter()

    def tell(depth: int, states: int, level: int) -> None:
        nonlocal told
        now = time.perf_counter()
        if now - told >= PROGRESS_EVERY_S:
            told = now
            words = f"   depth {depth}: {states:,} states, {level:,} to go on from, {now - began:.0f} s"
            print(words, file=sys.stderr, flush=True)

    return tell


def in_words(report: Report) -> str:
    """The figures, and what they say."""
    figures = (
        f"   {report.states:,} states, {report.transitions:,} transitions, depth {report.depth}, {report.seconds:.1f} s"
    )
    if report.violation is not None:
        return f"{figures}\n{report.violation}"
    if not report.is_complete:
        return f"{figures}\n   NOT COMPLETE: the limit on states ended it; nothing was broken so far"
    return f"{figures}\n   hold in every state: {', '.join(NAMES)}"


def _status(report: Report) -> int:
    if report.violation is not None:
        return BROKEN_STATUS
    return 0 if report.is_complete else LIMIT_STATUS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
