"""Markdown tables that leave out what is the same in every row."""

from __future__ import annotations

from collections.abc import Sequence


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; its first column is text, the others are numbers."""
    lines = [list(headings), ["---"] + ["---:"] * (len(headings) - 1), *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def without_constants(
    headings: Sequence[str], rows: Sequence[Sequence[str]], keep: int = 1
) -> tuple[list[str], list[list[str]], str]:
    """Drop the columns that are the same in every row.

    Args:
        headings: of the columns.
        rows: their cells.
        keep: number of columns, the first ones, that stay.

    Returns:
        The headings and rows that are left, and a sentence on the others; nothing is dropped from a
        table of one row, except what is empty.
    """
    values = [{row[k] for row in rows} for k in range(len(headings))]
    same = [len(one) == 1 and (len(rows) > 1 or one == {""}) for one in values]
    left = [k for k in range(len(headings)) if k < keep or not same[k]]
    facts = [
        f"{headings[k]} {rows[0][k]}"
        for k in range(len(headings))
        if k not in left and rows[0][k] not in ("", "none")
    ]
    sentence = f"The same in every row: {'; '.join(facts)}." if facts else ""
    return [headings[k] for k in left], [[row[k] for k in left] for row in rows], sentence
