"""`python -m loadtests.versions --before REVISION`: did the hot path get slower? Exit 1 if it surely did.

Both versions serve bubblewrap workers, whose code is each version's own, at the same time; a Redis each.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loadtests import services
from loadtests.contestants.bascule import server_of
from loadtests.contestants.bubblewrap import check_bubblewrap
from loadtests.contestants.contestant import Unavailable
from loadtests.versions.tree import unpack
from loadtests.versions.turns import HEADING, Compared, Pairs, compare

DURABILITIES: Final = ("none", "commit")
STARTS: Final = 12
STARTS_MIN: Final = 6
"""Below this no interval can be sure."""
TURNS: Final = 20


async def measured(revision: str, durabilities: Sequence[str], *, starts: int, turns: int) -> list[Compared]:
    """This version and that one; raises `Unavailable`."""
    await check_bubblewrap()
    found: dict[str, list[Pairs]] = {}
    with services.throw_away_folder() as folder:
        tree = await unpack(revision, folder)
        for start in range(starts):
            for durability in durabilities:
                for measure, pairs in (await _one_start(tree, durability, turns)).items():
                    found.setdefault(measure, []).append(pairs)
            _tell(start, {measure: pairs[-1].ratio for measure, pairs in found.items()})
    return [Compared(measure, tuple(pairs)) for measure, pairs in found.items()]


async def _one_start(tree: Path, durability: str, turns: int) -> dict[str, Pairs]:
    async with server_of("bubblewrap", pool_size=0, tree=tree) as before, server_of("bubblewrap", pool_size=0) as after:
        return await compare(before, after, durability, turns)


def main() -> None:
    """Parse, run, report."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.versions", description=__doc__)
    parser.add_argument("--before", required=True, metavar="REVISION", help="of git: the version to compare with")
    parser.add_argument("--durability", nargs="+", choices=DURABILITIES, default=DURABILITIES, help="[both]")
    parser.add_argument("--starts", type=_starts, default=STARTS, help="of both servers [%(default)s]")
    parser.add_argument("--turns", type=int, default=TURNS, help="of each version and measure in a start [%(default)s]")
    given = parser.parse_args()
    try:
        with asyncio.Runner(loop_factory=services.loop_factory()) as runner:
            found = runner.run(measured(given.before, given.durability, starts=given.starts, turns=given.turns))
    except Unavailable as error:
        sys.exit(str(error))
    print("\n".join([HEADING, *(one.line() for one in found)]))
    sys.exit(1 if any(one.verdict == "slower" for one in found) else 0)


def _starts(word: str) -> int:
    if (number := int(word)) < STARTS_MIN:
        raise argparse.ArgumentTypeError(f"at least {STARTS_MIN}")
    return number


def _tell(start: int, ratios: dict[str, float]) -> None:
    words = ", ".join(f"{measure} {ratio:.3f}" for measure, ratio in ratios.items())
    print(f"start {start + 1}: {words}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
