"""Turn run folders into the rows of docs/results.md.

    python experiments/results_table.py GROUP=RUN,RUN,... ...

Each group is one row: its runs are the same but for the seed. Nothing is typed in by hand.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any


def spread(values: list[float], digits: int = 2) -> str:
    """A percentage, with its range if there are several."""
    shown = f"{100 * statistics.mean(values):.{digits}f}"
    if len(values) == 1:
        return shown
    return f"{shown} ({100 * min(values):.{digits}f} to {100 * max(values):.{digits}f})"


def row(name: str, runs: list[dict[str, Any]]) -> str:
    """One row of the table."""
    test = [run["test"]["accuracy"] for run in runs]
    val = [run["val"]["accuracy"] for run in runs]
    gaps = [run["test"]["gap"] for run in runs if run["test"].get("gap") is not None]
    count, unused = runs[0]["test"]["prototypes"], [len(run["test"]["unused"] or []) for run in runs]
    used = "–" if not count else ", ".join(str(count - n) for n in sorted(set(unused))) + f" of {count}"
    seeds = ", ".join(str(run["seed"]) for run in runs)
    minutes = statistics.mean(run["seconds"] for run in runs) / 60
    gap = spread(gaps) if gaps else "–"
    return f"| {name} | {spread(test)} | {spread(val)} | {gap} | {used} | {seeds} | {minutes:.1f} |"


def main() -> None:
    """Print the table."""
    print("| run | test % | validation % | gap, points | prototypes used | seeds | minutes |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for group in sys.argv[1:]:
        name, _, folders = group.partition("=")
        print(row(name, [json.loads((Path(f) / "metrics.json").read_text()) for f in folders.split(",")]))


if __name__ == "__main__":
    main()
