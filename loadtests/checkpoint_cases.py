"""Which namespaces and changes a checkpoint is measured with, and what it may cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MIB: Final = 1024 * 1024

_IMPORTS: Final = "import numpy as np, pandas as pd, random\nrng = np.random.default_rng(1)\n"
_FRAME: Final = (
    "f = pd.DataFrame({'i': rng.integers(0, 1 << 60, 100_000), 'x': rng.random(100_000), "
    "'s': [f'row {i}' for i in range(100_000)]})\n"
)


@dataclass(frozen=True, slots=True)
class Change:
    """One eval; `{i}` is its number."""

    name: str
    code: str


ELSEWHERE: Final = Change("elsewhere", "n = {i}")
ELEMENT: Final = Change("element", "a[1000 * {i}] = -1.0")
ALL: Final = Change("all", "a += 1.0")


@dataclass(frozen=True, slots=True)
class Namespace:
    """What is there before, and what is changed then."""

    name: str
    title: str
    code: str
    changes: tuple[Change, ...]
    state_bytes_max: int = 256 * MIB
    memory_bytes: int = 512 * MIB


NAMESPACES: Final = (
    Namespace("small", "a few names", "x = list(range(100))", (ELSEWHERE,)),
    Namespace(
        "frame", "13 MB: an array of 10 MB and a frame of 100,000 rows",
        f"{_IMPORTS}a = rng.random(1_310_720)\n{_FRAME}", (ELSEWHERE, ELEMENT, ALL),
    ),
    Namespace(
        "objects", "13 MB: a bytearray of 10 MB and 100,000 tuples",
        "import random\nrandom.seed(1)\nb = bytearray(random.randbytes(10_000_000))\n"
        "rows = [(i, random.random(), f'row {i}') for i in range(100_000)]", (ELSEWHERE,),
    ),
    Namespace(
        "large", "512 MB: eight arrays",
        f"{_IMPORTS}parts = [rng.random(8_388_608) for _ in range(8)]\na = parts[3]", (ELSEWHERE, ELEMENT),
        state_bytes_max=1024 * MIB, memory_bytes=4096 * MIB,
    ),
)  # fmt: skip

UNITS: Final = {"pause": "ms", "wait": "ms", "sent": "MB"}

GOALS: Final[dict[str, float]] = {
    "checkpoint.frame.elsewhere.pause": 5, "checkpoint.frame.elsewhere.wait": 10,
    "checkpoint.objects.elsewhere.pause": 5, "checkpoint.objects.elsewhere.wait": 10,
    "checkpoint.frame.element.sent": 1, "checkpoint.large.element.sent": 1,
    "checkpoint.large.element.wait": 60,
}  # fmt: skip
"""At most, in ms and MB."""


def measures() -> Iterator[tuple[str, str, str]]:
    """Name, title and unit of each figure, in their order."""
    words = {"pause": "the interpreter pauses", "wait": "the result waits", "sent": "chunks sent"}
    for namespace in NAMESPACES:
        for change in namespace.changes:
            for figure, unit in UNITS.items():
                title = f"checkpoint, {namespace.title}; change: {change.name}: {words[figure]}"
                yield f"checkpoint.{namespace.name}.{change.name}.{figure}", title, unit
