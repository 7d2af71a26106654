"""`python -m tests.durability.campaign NAME`: kills what sessions must survive; a checker judges what clients saw.

NAME is a row of the table (`--list`), or `all`. A piece is repeated alone by its seed and its count:
`… workers --seed 7 --kills 25`. With `--results FILE` each piece adds a line to that file, and a later run goes on
where it ends: `--long` is then what is left of the long run. `--sum FILE` prints what a file adds up to.

Exit code 0: nothing was found; 1: something was, and its histories are kept; 2: the command line is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

TESTS = str(Path(__file__).parents[1])


def main(words: list[str]) -> int:
    """The program; see above."""
    if TESTS not in sys.path:
        # As the test run's setting `pythonpath` does.
        sys.path.insert(0, TESTS)
    from durability import results
    from durability.table import CAMPAIGNS

    arguments = _parser([*CAMPAIGNS]).parse_args(words)
    if arguments.list:
        for row in CAMPAIGNS.values():
            print(f"{row.name:<8} {row.in_ci:>4} in CI {row.long_run:>5} long  {row.unit}: {row.words}")
        return 0
    if arguments.sum:
        print(results.table(results.read(arguments.sum)))
        return 0
    if not arguments.name:
        _parser([*CAMPAIGNS]).error("say which campaign, or all")
    return _run(arguments)


def _parser(names: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.durability.campaign", description=__doc__)
    parser.add_argument("name", nargs="?", choices=[*names, "all"])
    parser.add_argument("--list", action="store_true", help="print the table of campaigns")
    parser.add_argument("--sum", type=Path, metavar="FILE", help="print what a results file adds up to")
    parser.add_argument("--seed", type=int, help="of the first piece [the first that the results don't have, or 1]")
    parser.add_argument("--kills", type=int, help="faults, or seconds where a campaign goes by time")
    parser.add_argument("--long", action="store_true", help="the long run's count, less what the results have")
    parser.add_argument("--at-most", type=int, help="no more than so many now; the rest is for another run")
    parser.add_argument("--runtime", choices=["bubblewrap", "docker"], default="", help="for every piece")
    parser.add_argument("--doors", type=int, default=0, help="front doors on the one Redis, for every piece")
    parser.add_argument("--at-once", type=int, default=2, help="pieces at the same time [2]")
    parser.add_argument("--results", type=Path, help="a file to add to")
    parser.add_argument("--report", type=Path, help="write what this run did as JSON")
    parser.add_argument("--keep", type=Path, help="folder for all histories and logs [only those with findings]")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    from durability import results
    from durability.driving import drive

    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="bascule-histories-"))
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, Any]] = []

    def ended(order: Any, figures: Any) -> None:
        # At once, so that a run that is ended early has counted what it did.
        lines.append(results.line_of(order, figures))
        if arguments.results:
            results.add(arguments.results, lines[-1:])

    before = results.read(arguments.results) if arguments.results else []
    results.commit()  # of the sources as they are now, whatever becomes of them meanwhile
    # Ended in order, so that what it started is ended too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    asyncio.run(drive(_orders(arguments, before, folder), arguments.at_once, ended))
    if arguments.report:
        arguments.report.write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")
    print(results.table(lines))
    return _end(arguments, folder, lines)


def _orders(arguments: argparse.Namespace, before: list[dict[str, Any]], folder: Path) -> list[Any]:
    from durability import results
    from durability.table import CAMPAIGNS

    found: list[Any] = []
    for name in CAMPAIGNS if arguments.name == "all" else (arguments.name,):
        row = CAMPAIGNS[name]
        wanted = arguments.kills or (row.long_run - results.seen(before, name) if arguments.long else row.in_ci)
        wanted = max(0, min(wanted, arguments.at_most or wanted))
        seed = arguments.seed if arguments.seed is not None else results.next_seed(before, name)
        found += row.pieces(seed, wanted, folder, runtime=arguments.runtime, doors=arguments.doors)
    return found


def _end(arguments: argparse.Namespace, folder: Path, lines: list[dict[str, Any]]) -> int:
    bad = [line for line in lines if line["found"]]
    for line in bad:
        for words in line["findings"]:
            print(f"{line['campaign']} seed {line['seed']} on {line['runtime']}: {words}")
    if bad:
        print(f"histories and logs: {folder}")
    elif not arguments.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
