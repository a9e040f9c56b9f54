"""Tables in plain text: aligned, bold headings where a terminal shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDTH_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Column:
    """One column; numbers stand to the right."""

    name: str
    is_number: bool = False


def table_text(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    """Return the table as text. Cells are printed as they are: no markup is read in them."""
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column.name, justify="right" if column.is_number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    out = StringIO()
    Console(file=out, width=_WIDTH_MAX, force_terminal=False).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())
