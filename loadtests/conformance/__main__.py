"""`python -m loadtests.conformance --url ws://127.0.0.1:8765 --token TOKEN`: the figures; exit 1 if one failed."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

from loadtests.conformance import reasons
from loadtests.conformance.run import Judged, Report, is_of_test_package, run

SESSIONS: Final = 4
SHOWN_CHARS_MAX: Final = 300


def main() -> None:
    """Parse, run, report."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.conformance", description=__doc__)
    parser.add_argument("--url", required=True, help="ws://HOST:PORT of a server")
    parser.add_argument("--token", required=True, help="what it is told as Bearer token")
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="sessions at once [%(default)s]")
    parser.add_argument("--module", action="append", default=[], help="only this module; may be repeated")
    parser.add_argument("--json", type=Path, help="write every example that was not equal here")
    parser.add_argument("--verbose", action="store_true", help="say each module")
    given = parser.parse_args()
    tell = (lambda line: print(line, file=sys.stderr, flush=True)) if given.verbose else (lambda line: None)
    table = reasons.load()
    job = run(given.url, given.token, table, sessions=given.sessions, modules=given.module, tell=tell)
    report = asyncio.run(job)
    print(as_text(report, table))
    if given.json:
        given.json.write_text(json.dumps(as_data(report), indent=1), encoding="utf-8")
    sys.exit(0 if report.passed else 1)


def as_text(report: Report, table: reasons.Table) -> str:
    """The figures, the reasons with their counts, and each failure."""
    lines = [f"Python {report.python or 'of the worker'}, {report.wall_s:.0f} s"]
    for title, wanted in (("modules", False), ("test package", True), ("all", None)):
        part = [item for item in report.judged if wanted is None or is_of_test_package(item.example) == wanted]
        kinds = Counter(item.kind for item in part)
        counts = f"{kinds['equal']:5} equal {kinds['differs']:4} differ with a reason {kinds['failed']:4} failed"
        lines.append(f"{title:<13}{len(part):5} examples: {counts}")
    words = {reason.name: reason.why for reason in table.reasons}
    words[reasons.OWN_RUNNER] = "Python's own doctest runner does not get it in the same sandbox either"
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
        "others": [
            {"example": item.example.name, "kind": item.kind, "reason": item.reason, "source": item.example.source,
             "want": item.example.want, "shown": item.seen}
            for item in report.judged if item.kind != "equal"
        ],
    }  # fmt: skip


if __name__ == "__main__":
    main()
