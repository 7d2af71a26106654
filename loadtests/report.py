"""The table and the JSON of a benchmark. Pure, but for the facts of the machine."""

from __future__ import annotations

import itertools
import json
import os
import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from loadtests.goals import Row

NAME_WIDTH: Final = 20
VALUE_WIDTH: Final = 11


def table(rows: Iterable[Row], notes: Mapping[str, str]) -> str:
    """One block a measure, one line a contestant: median [lowest-highest round], ratio, verdict."""
    lines: list[str] = []
    for measure, block in itertools.groupby(rows, key=lambda row: row.measure):
        goal = measure.goal()
        lines += ["", f"{measure.title} ({measure.unit})" + (f"   goal {goal}" if goal else "")]
        lines += [_line(row) for row in block]
        lines += [f"  ({notes[measure.name]})"] if measure.name in notes else []
    return "\n".join(lines).lstrip("\n")


def _line(row: Row) -> str:
    digits = row.measure.decimals
    spread = f"[{row.figure.low:,.{digits}f} - {row.figure.high:,.{digits}f}]"
    factor = f"{row.ratio:.2f} x {row.reference}" if row.ratio is not None else ""
    words = f"  {row.contestant:<{NAME_WIDTH}}{row.figure.median:>{VALUE_WIDTH},.{digits}f}  {spread:<24}{factor:<26}"
    return f"{words}{row.verdict}".rstrip()


def ending(rows: Iterable[Row], left_out: Mapping[str, str], facts: Mapping[str, Any]) -> str:
    """What was left out and why, the goals counted, and where it ran."""
    counted = Counter(row.verdict for row in rows)
    lines = [f"left out: {name}: {why}" for name, why in left_out.items()]
    lines.append(f"goals met: {counted['met']}, missed: {counted['missed']}")
    lines.append(", ".join(f"{name} {value}" for name, value in facts.items()))
    return "\n" + "\n".join(lines)


def as_json(rows: Iterable[Row], notes: Mapping[str, str], facts: Mapping[str, Any]) -> str:
    """Everything that the table has, and each round."""
    return json.dumps({"machine": facts, "notes": notes, "rows": [_entry(row) for row in rows]}, indent=1)


def _entry(row: Row) -> dict[str, Any]:
    return {
        "measure": row.measure.name, "title": row.measure.title, "unit": row.measure.unit,
        "contestant": row.contestant, "median": row.figure.median, "low": row.figure.low, "high": row.figure.high,
        "rounds": row.figure.rounds, "goal": row.measure.goal(), "ratio": row.ratio,
        "ratio_to": row.reference if row.ratio is not None else None, "verdict": row.verdict,
    }  # fmt: skip


def machine() -> dict[str, Any]:
    """Where it ran, and how busy that was at the start."""
    return {
        "cpus": len(os.sched_getaffinity(0)), "kernel": platform.release(), "python": platform.python_version(),
        "load_average_1_min": os.getloadavg()[0],
    }  # fmt: skip
