"""The blocks of a page of the docs, and what a test may change in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]


def blocks(page: str, kind: str = "") -> list[str]:
    """Of one kind (the word behind the fence), in their order; `page` is a path inside the repository."""
    found: list[tuple[str, list[str]]] = []
    is_inside = False
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines(keepends=True):
        if line.startswith("```"):
            is_inside = not is_inside
            if is_inside:
                found.append((line[3:].strip(), []))
        elif is_inside:
            found[-1][1].append(line)
    assert not is_inside, f"{page}: a block without an end"
    return ["".join(lines) for named, lines in found if named == kind]


def block_with(page: str, words: str, kind: str = "") -> str:
    """The one block that has these words."""
    (found,) = [block for block in blocks(page, kind) if words in block]
    return found


def replaced(block: str, changes: Mapping[str, str]) -> str:
    """The block for this test's places and names in the place of the page's; each change must find its words."""
    for old, new in changes.items():
        assert old in block, f"{old!r} is not in the block:\n{block}"
        block = block.replace(old, new)
    return block
