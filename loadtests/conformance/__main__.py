"""`python -m loadtests.conformance`: the figures; exit 1 if one example failed.

Without `--url` it starts a server of its own. `--fire 5` kills the session's worker before every fifth example.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from loadtests.conformance import reasons
from loadtests.conformance.fire import Fire, killer
from loadtests.conformance.run import Judged, Report, is_of_test_package, run
from loadtests.contestants.bascule import server_of

SESSIONS: Final = 4
FIRE: Final = 5
SHOWN_CHARS_MAX: Final = 300


def main() -> None:
    """Parse, run, report."""
    given = _parser().parse_args()
    if given.url and (given.fire or not given.token):
        sys.exit("--url wants --token, and goes without --fire: workers are killed on a server of our own only")
    table = reasons.load()
    report = asyncio.run(_run(given, table))
    print(as_text(report, table.for_fire()))
    if given.json:
        given.json.write_text(json.dumps(as_data(report), indent=1), encoding="utf-8")
    sys.exit(0 if report.passed else 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtests.conformance", description=__doc__)
    parser.add_argument("--url", help="ws://HOST:PORT of a server; none: one of our own")
    parser.add_argument("--token", help="what it is told as Bearer token")
    parser.add_argument("--runtime", choices=("bubblewrap", "docker"), default="bubblewrap", help="of our own server")
    parser.add_argument("--image", help="of the workers of our own server")
    parser.add_argument("--fire", type=int, nargs="?", const=FIRE, default=0, metavar="N",
                        help="kill -9 the worker before every Nth example [%(const)s]")  # fmt: skip
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="sessions at once [%(default)s]")
    parser.add_argument("--module", action="append", default=[], help="only this module; may be repeated")
    parser.add_argument("--json", type=Path, help="write every example that was not equal here")
    parser.add_argument("--verbose", action="store_true", help="say each module")
    return parser


async def _run(given: argparse.Namespace, table: reasons.Table) -> Report:
    tell = (lambda line: print(line, file=sys.stderr, flush=True)) if given.verbose else (lambda line: None)
    async with _server(given) as (url, token, fire):
        return await run(url, token, table, sessions=given.sessions, modules=given.module, tell=tell, fire=fire)


@asynccontextmanager
async def _server(given: argparse.Namespace) -> AsyncIterator[tuple[str, str, Fire | None]]:
    if given.url:
        yield given.url, given.token, None
        return
    settings = {"SANDBOX__IMAGE": given.image} if given.image else {}
    async with server_of(given.runtime, pool_size=given.sessions, settings=settings) as server:
        kill = killer(given.runtime, server.log, server.pid)
        yield server.url, server.token, Fire(given.fire, kill) if given.fire else None


def as_text(report: Report, table: reasons.Table) -> str:
    """The figures, the reasons with their counts, and each failure."""
    lines = [f"Python {report.python or 'of the worker'}, {report.wall_s:.0f} s, {report.kills} workers killed"]
    for title, wanted in (("modules", False), ("test package", True), ("all", None)):
        part = [item for item in report.judged if wanted is None or is_of_test_package(item.example) == wanted]
        kinds = Counter(item.kind for item in part)
        counts = f"{kinds['equal']:5} equal {kinds['differs']:4} differ with a reason {kinds['failed']:4} failed"
        lines.append(f"{title:<13}{len(part):5} examples: {counts}")
    words = {reason.name: reason.why for reason in table.reasons}
    words |= reasons.WITHOUT_ENTRY
    counted = Counter(item.reason for item in report.of("differs"))
    lines += [f"  {count:4} {name}: {words[name]}" for name, count in counted.most_common()]
    lines += [f"not importable in the worker: {', '.join(sorted(report.absent))}"] if report.absent else []
    lines += [f"left out: {name}: {why}" for name, why in sorted(report.left_out.items())]
    lines += [f"BROKEN {name}: {why}" for name, why in sorted(report.broken.items())]
    lines += [f"entry that nothing needed: {pattern}" for pattern in report.unneeded]
    lines += [_failure(item) for item in report.of("failed")]
    return "\n".join(lines)


def _failure(item: Judged) -> str:
    parts = (("source", item.example.source), ("wanted", item.example.want), ("shown", item.seen))
    return f"FAILED {item.example.name}\n" + "\n".join(f"  {name}: {text[:SHOWN_CHARS_MAX]!r}" for name, text in parts)


def as_data(report: Report) -> dict[str, Any]:
    """For the JSON file."""
    return {
        "python": report.python, "wall_s": report.wall_s, "examples": len(report.judged),
        "equal": len(report.of("equal")), "left_out": report.left_out, "absent": report.absent,
        "broken": report.broken,
        "unneeded": report.unneeded,
        "kills": report.kills,
        "others": [
            {"example": item.example.name, "kind": item.kind, "reason": item.reason, "source": item.example.source,
             "want": item.example.want, "shown": item.seen, "lost": item.lost}
            for item in report.judged if item.kind != "equal"
        ],
    }  # fmt: skip


if __name__ == "__main__":
    main()
