"""The page about an evaluation: what each number means for each model, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from resemblance.metrics.suite.table import result_table
from resemblance.report.content import ReportFigure
from resemblance.report.links import report_link
from resemblance.report.page import PageRenderer
from resemblance.runs.evaluated_runs import RunsEvaluation


def evaluation_page(
    evaluation: RunsEvaluation,
    figures: Sequence[ReportFigure],
    path: Path,
    date: datetime | None = None,
) -> str:
    """Return the page as HTML, without network or script, with all text escaped.

    Args:
        evaluation: the results.
        figures: the figures.
        path: where the page will be, for its links to the reports of the runs.
        date: the date on the page; by default now.
    """
    renderer = PageRenderer([])
    header, rows = result_table(evaluation.groups)
    names = [run.measured.name for run in evaluation.runs]
    shown = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
    body = renderer.render(
        "evaluation.html.j2",
        runs=evaluation.measured,
        groups=evaluation.groups,
        settings=evaluation.settings,
        notes=evaluation.notes,
        header=header,
        rows=rows,
        figures=figures,
        reports=[report_link(run.record.folder, path) for run in evaluation.runs],
    )
    sections = [
        ("summary", "Summary"),
        *([("figures", "Figures")] if figures else []),
        *((f"run{number}", run.name) for number, run in enumerate(evaluation.measured, start=1)),
        ("how", "How to read this page"),
    ]
    return renderer.page("sections_page.html.j2", f"Evaluation of {shown}", body, date, sections=sections)
