"""The benchmark: Bascule and what it is measured beside, in one run, in turns.

It starts everything itself, on this machine's loopback alone, and ends it again. What a machine lacks is left out and
said. The goals are the blueprint's; missing one is no error, because machines drift: look at the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loadtests import goals, report, rounds, services
from loadtests.contestants import bare, bascule, bridge, docker_exec, jupyter
from loadtests.sizes import FULL, QUICK

CONTESTANTS: Final = (
    bridge.CONTESTANT, bascule.ON_DOCKER, bascule.ON_BUBBLEWRAP, bare.BARE_ON_DOCKER, bare.BARE_ON_BUBBLEWRAP,
    docker_exec.CONTESTANT, jupyter.CONTESTANT,
)  # fmt: skip

ROUNDS: Final = 3
INTERRUPTED: Final = 130
"""Exit status after a Ctrl-C."""

NOTES: Final = {
    "start.cold.p50": "bare: the plainest REPL on the same image or Python with the usual locks",
    "memory.session": "all processes inside the sandbox; the engine's shim is the next row",
    "round_trip.none.p50": "docker exec: a new Python each time; jupyter: without the 40 ms of Nagle's algorithm",
    "throughput.none": "client and server share the machine; jupyter with fewer kernels, docker exec four at once",
}


def main(words: Sequence[str] | None = None) -> None:
    """Parse, run, print; exit status 1 when something of Bascule's own could not be measured."""
    given = _parser().parse_args(words)
    tally, facts = rounds.Tally(), report.machine()
    began = time.monotonic()
    if not (completed := _run(given, tally)):
        _tell("interrupted: these are the rounds until then")
    facts |= {"wall_s": round(time.monotonic() - began), "rounds": given.rounds, "quick": given.quick}
    rows = goals.rows(tally.results())
    print(report.table(rows, NOTES))
    print(report.ending(rows, tally.left_out, facts))
    if given.json:
        given.json.write_text(report.as_json(rows, NOTES, facts | {"left_out": tally.left_out}), encoding="utf-8")
    sys.exit((1 if any(map(_is_ours, tally.left_out)) else 0) if completed else INTERRUPTED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtests", description=__doc__)
    names = [contestant.name for contestant in CONTESTANTS]
    parser.add_argument("--rounds", type=_positive, default=ROUNDS, help="of everything [%(default)s]")
    parser.add_argument("--quick", action="store_true", help="small counts: whether it works, not how fast it is")
    parser.add_argument(
        "--only", nargs="+", default=[], type=_measure, metavar="MEASURE", help="as `output` or `round_trip.none.p50`"
    )
    parser.add_argument(
        "--contestant", nargs="+", default=[], type=_name, choices=names, metavar="NAME",
        help=f"of {', '.join(name.replace(' ', '-') for name in names)}",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, help="write every figure with all its rounds here")
    return parser


def _positive(word: str) -> int:
    if (number := int(word)) < 1:
        raise ValueError
    return number


def _measure(word: str) -> str:
    if not any(f"{measure.name}.".startswith(f"{word}.") for measure in goals.MEASURES):
        raise argparse.ArgumentTypeError(f"{word} is no measure: {', '.join(goals.BY_NAME)}")
    return word


def _name(word: str) -> str:
    return word.replace("-", " ")


def _run(given: argparse.Namespace, tally: rounds.Tally) -> bool:
    """False when it was interrupted; whatever it had started has ended then, too."""
    chosen = [item for item in CONTESTANTS if not given.contestant or item.name in given.contestant]
    sizes = QUICK if given.quick else FULL
    try:
        with asyncio.Runner(loop_factory=services.loop_factory()) as runner:
            runner.run(_until_terminated(
                rounds.run(chosen, sizes, rounds=given.rounds, only=given.only, tally=tally, tell=_tell)
            ))  # fmt: skip
    except (KeyboardInterrupt, asyncio.CancelledError):
        return False
    return True


async def _until_terminated(work: rounds.Running) -> None:
    """SIGTERM ends it as Ctrl-C does."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await work


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _is_ours(name: str) -> bool:
    return name.partition(",")[0] in goals.OURS
