"""Write explanations as a table and as JSON lines while they are made, so that an interruption loses nothing."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from resemblance.explain.explanation import Explanation
from resemblance.explain.reason import Reason
from resemblance.explain.rounding import finite
from resemblance.printing.characters import printable, spreadsheet_cell
from resemblance.writing import writing

TABLE, LINES = "explanations.csv", "explanations.jsonl"


def _first(value: Callable[[Reason], Any]) -> Callable[[Explanation], Any]:
    """Return a column of the first reason; empty where there is none."""
    return lambda explanation: value(explanation.reasons[0]) if explanation.reasons else None


def _probability(explanation: Explanation) -> float | None:
    probabilities = explanation.probabilities
    return None if probabilities is None else float(probabilities[explanation.prediction])


# One row per image, with its first reason; the JSON lines have all reasons.
COLUMNS: dict[str, Callable[[Explanation], Any]] = {
    "image": lambda explanation: explanation.name,
    "label": lambda explanation: explanation.true,
    "prediction": lambda explanation: None if explanation.abstained else explanation.predicted,
    "correct": lambda explanation: explanation.correct,
    "score": lambda explanation: float(explanation.scores[explanation.prediction]),
    "probability": _probability,
    "explained_class": lambda explanation: explanation.breakdown.class_name,
    "prototype": _first(lambda reason: reason.prototype.index),
    "prototype_class": _first(lambda reason: reason.prototype.owner),
    "source": _first(lambda reason: reason.prototype.source_name),
    "similarity": _first(lambda reason: reason.similarity),
    "deciding_similarity": lambda explanation: explanation.familiarity.similarity,
    "usual_from": lambda explanation: explanation.familiarity.low,
    "usual_to": lambda explanation: explanation.familiarity.high,
    "familiarity": lambda explanation: explanation.familiarity.verdict,
    "black_box": lambda explanation: (
        None if explanation.black_box is None else explanation.black_box.predicted
    ),
    "weight": _first(lambda reason: reason.weight),
    "contribution": _first(lambda reason: reason.contribution),
    "share": lambda explanation: explanation.share,
    "warnings": lambda explanation: " ".join(explanation.warnings),
}


class ExplanationFiles:
    """The open files of explanations; see `explanation_files`."""

    def __init__(self, table: Any, lines: Any) -> None:
        self._table, self._lines = table, lines
        self._rows = csv.writer(table)
        self._rows.writerow(COLUMNS)

    def add(self, explanation: Explanation) -> None:
        """Write one explanation; it is in the files when this returns."""
        self._rows.writerow([cell(value(explanation)) for value in COLUMNS.values()])
        self._lines.write(json.dumps(explanation.to_dict(), ensure_ascii=False, allow_nan=False) + "\n")
        self._table.flush()
        self._lines.flush()


@contextmanager
def explanation_files(folder: Path) -> Iterator[ExplanationFiles]:
    """Write ``explanations.csv`` and ``explanations.jsonl`` in a folder as explanations are added.

    Args:
        folder: an existing folder; files of these names are replaced.

    Raises:
        CannotWriteError: if they cannot be written.
    """
    options: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace"}
    with (
        writing(folder / TABLE),
        (folder / TABLE).open("w", newline="", **options) as table,
        (folder / LINES).open("w", **options) as lines,
    ):
        yield ExplanationFiles(table, lines)


def cell(value: Any) -> str | int | float:
    """Return a value as a cell of a table: numbers as they are, texts without control characters, nothing as empty.

    Example:
        >>> cell(None), cell(True), cell(0.25), cell("=1+1"), cell(float("nan"))
        ('', 'true', 0.25, "'=1+1", '')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        number = finite(value)
        return "" if number is None else number
    return str(spreadsheet_cell("" if value is None else printable(value)))
