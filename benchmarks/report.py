"""What a benchmark finds: figures measured side by side in one run, as a table and as JSON."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

LATEST = Path(__file__).parent / "latest.json"


@dataclass(frozen=True)
class Figure:
    """`ratio` is `value` over what it is compared to, measured in the same run; `goal` says what it should be."""

    name: str
    value: float
    unit: str
    compared_to: str = ""
    ratio: float | None = None
    goal: str = ""


def show(figures: list[Figure]) -> None:
    table = Table(title="Quarterdeck, measured", title_justify="left")
    for heading in ("name", "value", "unit", "compared to", "ratio", "goal"):
        table.add_column(heading, justify="right" if heading in ("value", "ratio") else "left")
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        table.add_row(figure.name, f"{figure.value:,.2f}", figure.unit, figure.compared_to, ratio, figure.goal)
    Console(width=150).print(table)


def write(figures: list[Figure]) -> None:
    LATEST.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
