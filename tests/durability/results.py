"""A file to which runs add what they did, a line for each piece, and the table that it adds up to."""

from __future__ import annotations

import datetime
import json
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from durability.scenes.drains import p95
from durability.scenes.scene import Figures, Order
from durability.table import CAMPAIGNS

FINDINGS_SHOWN: Final = 5
"""Of a piece, in its line; the history has the rest."""
_HEAD: Final = (
    "| campaign | seen | what was done | acknowledged | found | 95 % sure | reconnect p95 | seeds | dates | commits |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)

Line = dict[str, Any]


def line_of(order: Order, figures: Figures) -> Line:
    """What is kept of a piece. The commit is that of the sources; `+` says that they were not as committed."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": commit(),
        "campaign": order.campaign,
        "seed": order.seed,
        "ordered": order.faults,
        "runtime": order.runtime,
        "doors": order.doors,
        "faults": figures.faults,
        "operations": figures.operations,
        "acknowledged": figures.acknowledged,
        "found": len(figures.findings),
        "findings": figures.findings[:FINDINGS_SHOWN],
        "takeovers": figures.takeovers,
        "seconds": round(figures.seconds, 1),
        "reconnect_s": [round(seconds, 3) for seconds in figures.reconnect_s],
    }


@cache
def commit() -> str:
    """Of the sources, when it is asked for first."""

    def git(*words: str) -> str:
        folder = Path(__file__).parent
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=30)
        return done.stdout.strip()

    name = git("rev-parse", "--short=10", "HEAD") or "unknown"
    return name + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


def add(path: Path, lines: Iterable[Line]) -> None:
    """To the end of the file."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def read(path: Path) -> list[Line]:
    """Every line; none when there is no file yet. A `ValueError` for one that is no line of ours."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def counted(line: Line) -> int:
    """What a piece adds to its campaign's count: the faults that were done, or the seconds that it was ordered."""
    if CAMPAIGNS[line["campaign"]].unit == "seconds":
        return int(line["ordered"]) if line["operations"] else 0
    return sum(line["faults"].values())


def seen(lines: Sequence[Line], campaign: str) -> int:
    """Over all pieces."""
    return sum(counted(line) for line in lines if line["campaign"] == campaign)


def next_seed(lines: Sequence[Line], campaign: str) -> int:
    """The first one that no piece has had."""
    return max((line["seed"] + 1 for line in lines if line["campaign"] == campaign), default=1)


def table(lines: Sequence[Line]) -> str:
    """One row for each campaign that has a piece."""
    rows = [_row(name, [line for line in lines if line["campaign"] == name]) for name in CAMPAIGNS]
    return "\n".join((_HEAD, *filter(None, rows)))


def _row(name: str, lines: Sequence[Line]) -> str:
    if not lines:
        return ""
    faults = Counter[str]()
    for line in lines:
        faults.update(line["faults"])
    found = sum(line["found"] for line in lines)
    back = [seconds for line in lines for seconds in line["reconnect_s"]]
    cells = (
        name, _count(name, lines), _what_was_done(faults, lines),
        str(sum(line["acknowledged"] for line in lines)), str(found), rule_of_three(faults.total(), found),
        f"{p95(back):.2f} s" if back else "", _ranges(sorted({line["seed"] for line in lines})),
        _ends(sorted({line["date"] for line in lines})), ", ".join(sorted({line["commit"] for line in lines})),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _what_was_done(faults: Mapping[str, int], lines: Sequence[Line]) -> str:
    takeovers = sum(line.get("takeovers", 0) for line in lines)
    done = [f"{what} {count}" for what, count in sorted(faults.items())]
    return ", ".join([*done, f"({takeovers} takeovers)"] if takeovers else done)


def _count(name: str, lines: Sequence[Line]) -> str:
    done = seen(lines, name)
    return f"{done} s" if CAMPAIGNS[name].unit == "seconds" else str(done)


def rule_of_three(faults: int, found: int) -> str:
    """0 in n: with 95 % confidence fewer than 3/n (Hanley and Lippman-Hand, JAMA 249, 1983). Says nothing otherwise."""
    return f"< {300 / faults:.2g} % a fault" if faults and not found else ""


def _ranges(numbers: Sequence[int]) -> str:
    return ", ".join(f"{first}–{last}" if last > first else str(first) for first, last in _runs(numbers))


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    first = last = None
    for number in numbers:
        if last is not None and first is not None and number != last + 1:
            yield first, last
            first = number
        first, last = number if first is None else first, number
    if first is not None and last is not None:
        yield first, last


def _ends(dates: Sequence[str]) -> str:
    return dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
