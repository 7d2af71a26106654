"""`python -m loadtests.drain`: rolling restarts under load; exit 1 if anything was lost, done twice or cut short."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Final

from loadtests.drain.rolling import roll

CLIENTS: Final = 20
ROUNDS: Final = 5


def main() -> None:
    """Parse, run, report."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.drain", description=__doc__)
    parser.add_argument(
        "--runtime", choices=("bubblewrap", "docker"), default="docker", help="of the workers [%(default)s]"
    )
    parser.add_argument("--image", help="of the workers, where they are containers")
    parser.add_argument("--clients", type=int, default=CLIENTS, help="sessions at work [%(default)s]")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="restarts of each of the two servers [%(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="of the clients' pauses [%(default)s]")
    given = parser.parse_args()

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    report = asyncio.run(
        roll(given.runtime, clients=given.clients, rounds=given.rounds, tell=tell, seed=given.seed, image=given.image)
    )
    print(report.as_text())
    sys.exit(0 if report.passed else 1)


if __name__ == "__main__":
    main()
