"""Write all that an evaluation yields into a folder: JSON, CSV, figures and a page."""

from __future__ import annotations

import json
from pathlib import Path

from matplotlib.figure import Figure

from resemblance.drawing.style import png
from resemblance.metrics.suite.table import csv_text
from resemblance.report.content import ReportFigure
from resemblance.report.evaluation.compared_galleries import gallery_pairs
from resemblance.report.evaluation.compared_maps import compared_maps
from resemblance.report.evaluation.evaluation_page import evaluation_page
from resemblance.report.evaluation.measure_figures import attributes_figure, ordering_figure, radar_figure
from resemblance.report.figure_files import save_figure
from resemblance.runs.evaluated_runs import RunsEvaluation
from resemblance.runs.folders import EVALUATION_PAGE
from resemblance.writing import write_text

DOCUMENT, TABLE = "evaluation.json", "evaluation.csv"


def write_evaluation(evaluation: RunsEvaluation, folder: Path, maps_figure: int = 0) -> list[Path]:
    """Write evaluation.json, evaluation.csv, the figures as pictures and evaluation.html, and return their paths.

    Args:
        evaluation: the results.
        folder: where they are written.
        maps_figure: the number of images whose maps are drawn.

    Raises:
        UserError: if a file cannot be written, or a model has no map of the kind.
    """
    document, table, page = folder / DOCUMENT, folder / TABLE, folder / EVALUATION_PAGE
    figures = evaluation_figures(evaluation, maps_figure)
    written = [document, table]
    write_text(document, json.dumps(evaluation.to_dict(), indent=2, ensure_ascii=False, allow_nan=False))
    write_text(table, csv_text(evaluation.groups))
    shown = []
    for name, (title, figure, caption) in figures.items():
        written.append(save_figure(figure, folder / f"{name}.png"))
        shown.append(ReportFigure(title, png(figure), title, caption))
    write_text(page, evaluation_page(evaluation, shown, page))
    return [*written, page]


def evaluation_figures(
    evaluation: RunsEvaluation, maps_figure: int = 0
) -> dict[str, tuple[str, Figure, str]]:
    """Return the figures of an evaluation: the name of the file → title, figure and caption."""
    groups = evaluation.groups
    figures: dict[str, tuple[str, Figure, str]] = {}
    if (radar := radar_figure(groups)) is not None:
        figures["radar"] = (
            "The measures together",
            radar,
            "Each model on the axes of the measures, all of them turned so that the outer edge is best.",
        )
    if (ordering := ordering_figure(groups)) is not None:
        figures["relevance-ordering"] = (
            "Relevance ordering",
            ordering,
            "The probability of the predicted class while pixels are added in the order of their relevance, and, "
            "dashed, in random order.",
        )
    if (attributes := attributes_figure(groups)) is not None:
        figures["attributes"] = (
            "Attributes against the number of prototypes",
            attributes,
            "Attributes that the prototypes cover, the error of their correlations, and ghosted prototypes.",
        )
    for name, title, figure in gallery_pairs(evaluation.runs):
        figures[name] = (
            title,
            figure,
            "Left, the model's own prototypes of each class; right, those that KMEx finds in the same encoder.",
        )
    if maps_figure:
        figures["maps"] = (
            "Maps of the same images",
            *compared_maps(evaluation.runs, maps_figure),
        )
    return figures
