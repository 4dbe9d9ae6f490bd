"""Turn run folders with their audits into the rows of "Stress tests" in docs/results.md.

    python experiments/stress_table.py NAME=RUN ...

Each run folder has one or more audits (`resemblance audit RUN`, in folders whose names begin with audit) and an
evaluation (`resemblance evaluate RUN --metrics robust-accuracy`); what was not measured is a dash. Nothing is typed in
by hand.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HEAD = (
    "| trained | test, altered | test, original | under PGD 10 | head on stomach (noise) | similarity there (before) | "
    "same prototypes after JPEG | rank correlation within the class | minutes |"
)


def read(path: Path) -> dict[str, Any]:
    """Read a JSON file; empty if there is none."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return content


def values(parts: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the values of an audit's findings or an evaluation's measures by their names."""
    return {value["name"]: value for part in parts for value in part["values"]}


def share(value: float | None) -> str:
    """Return a share in per cent."""
    return "–" if value is None else f"{100 * value:.2f} %"


def number(value: dict[str, Any] | None, key: str = "value") -> str:
    """Return a number with two decimals."""
    return "–" if value is None or value[key] is None else f"{value[key]:.2f}"


def with_baseline(said: str, baseline: str) -> str:
    """Return a number with its baseline in brackets; a dash alone if it was not measured."""
    return said if said == "–" else f"{said} ({baseline})"


def row(name: str, run: Path) -> str:
    """Return the row of a run."""
    metrics = read(run / "metrics.json")
    audit = {}
    for document in sorted(run.glob("audit*/audit.json")):
        audit |= values(read(document)["findings"])
    measures = read(run / "evaluation" / "evaluation.json").get("measures", {})
    robust = values(measures.values()).get("robust_accuracy")
    original = metrics.get("test (original)", {}).get("accuracy")
    test = metrics["test"]["accuracy"]
    moved, there = audit.get("head_on_stomach"), audit.get("head_on_stomach_similarity")
    hits = "–" if moved is None else f"{round(moved['value'] * moved['count'])} of {moved['count']}"
    noise = "–" if moved is None else f"{100 * moved['baseline']:.0f} %"
    cells = [
        share(None if original is None else test),
        share(test if original is None else original),
        share(robust["value"] if robust else None),
        with_baseline(hits, noise),
        with_baseline(number(there), number(there, "baseline")),
        number(audit.get("shift_jpeg_overlap")),
        number(audit.get("shift_jpeg_own_rank_correlation")),
        f"{metrics['seconds'] / 60:.0f}",
    ]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    print(HEAD)
    print("|" + " --- |" * HEAD.count(" |"))
    for argument in sys.argv[1:]:
        name, _, folder = argument.partition("=")
        print(row(name, Path(folder)))


if __name__ == "__main__":
    main()
