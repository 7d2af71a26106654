"""Rows as people read them: columns side by side, each cell one line."""

from __future__ import annotations

from collections.abc import Sequence

from bascule.terminal.escapes import one_line


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Text with a line end; the header alone when there are no rows."""
    cells = [list(header), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    return "" if value is None else one_line(str(value))
