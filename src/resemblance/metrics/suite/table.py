"""The results of several runs as a table, and as rows of a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from resemblance.metrics.suite.aggregate import Group, MeasuredRun, Summary, columns_of, find_value
from resemblance.metrics.suite.result import Value, finite, number

CSV_COLUMNS = (
    *("run", "group", "method", "seed", "data", "split", "images", "measure", "name", "value", "better"),
    *("baseline", "baseline_of", "deviation", "low", "high", "count", "of", "left_out"),
)


def result_table(groups: Sequence[Group]) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a table: one row per number, one column per run, and one per group of seeds.

    An arrow shows the direction of better values; the value of a trivial answer stands in brackets.
    """
    runs = [run for group in groups for run in group.runs]
    header = ["measure"]
    for group in groups:
        header += [run.name for run in group.runs]
        if len(group.runs) > 1:
            header.append(f"{group.label}: mean ± sd (n = {len(group.runs)})")
    rows = []
    for measure, example in columns_of(runs):
        row = [f"{example.title} {example.arrow}".strip()]
        for group in groups:
            values = [find_value(run, measure, example.name) for run in group.runs]
            row += [_cell(value) for value in values]
            if len(group.runs) > 1:
                row.append(summary_text(group.summary(measure, example.name), len(group.runs)))
        rows.append(row)
    return header, rows


def _cell(value: Value | None) -> str:
    if value is None:
        return "–"
    baseline = "" if value.baseline is None else f" [{number(value.baseline)}]"
    return value.text + baseline


def summary_text(summary: Summary, runs: int) -> str:
    """Return mean and deviation, and the number of runs if some have no value.

    Example:
        >>> summary_text(Summary(0.5, 0.1, 3), 3), summary_text(Summary(0.5, None, 1), 3)
        ('0.500 ± 0.100', '0.500 (n = 1)')
        >>> summary_text(Summary(float("nan"), None, 0), 3)
        '–'
    """
    text = number(summary.mean)
    if not summary.count:
        return text
    if summary.deviation is not None:
        text += f" ± {number(summary.deviation)}"
    return text if summary.count == runs else f"{text} (n = {summary.count})"


def csv_text(groups: Sequence[Group]) -> str:
    """Return all numbers in long format: one row per run and number."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for group in groups:
        for run in group.runs:
            evaluation = run.result.evaluation
            start = [run.name, group.label, run.method, run.seed, run.data, run.split, evaluation.images]
            count = evaluation.images
            writer.writerow(
                [
                    *start,
                    "accuracy",
                    "accuracy",
                    evaluation.accuracy,
                    "higher",
                    *[None] * 5,
                    count,
                    "images",
                    "",
                ]
            )
            for measure, value in _values(run):
                low, high = value.interval or (None, None)
                left_out = "; ".join(
                    f"{reason}: {number}" for reason, number in value.left_out.items() if number
                )
                writer.writerow(
                    [
                        *[*start, measure, value.name, finite(value.value), value.better],
                        *[finite(value.baseline), value.baseline_of, finite(value.deviation)],
                        *[finite(low), finite(high), value.count, value.of, left_out],
                    ]
                )
    return buffer.getvalue()


def _values(run: MeasuredRun) -> list[tuple[str, Value]]:
    return [(result.measure, value) for result in run.result.results for value in result.values]
