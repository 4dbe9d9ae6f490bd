"""Write one self-contained page, without network or script, with all text escaped."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
from jinja2 import Environment
from markupsafe import Markup

from resemblance.drawing.style import png
from resemblance.explain.embedded_pictures import PictureLimit, data_uri
from resemblance.explain.html import CROP, IMAGE, SOURCE, HtmlRenderer, read_style, template_environment
from resemblance.metrics.confusion import class_figures, frequent_confusions
from resemblance.report.confusion_figure import NUMBERED, confusion_figure
from resemblance.report.content import RunReport, SplitResult
from resemblance.report.gallery_figure import by_class
from resemblance.report.glance.at_a_glance import at_a_glance
from resemblance.report.glance.same_images import grouped, same_images
from resemblance.report.glance.statement import percent
from resemblance.report.glance.which_is_better import which_is_better
from resemblance.version import __version__
from resemblance.writing import write_text

# Bytes of all pictures of a page. In base64, and with the text around them, the page stays under 15 MB.
GALLERY_BYTES, IMAGE_BYTES, SOURCE_BYTES = 4_500_000, 2_500_000, 2_500_000
OPEN = 60  # the largest number of prototypes on a page of which all are seen at once
WITH_CONTEXT = 150  # the largest number of prototypes for which the gallery also shows their training images


def write_report(
    path: str | Path, runs: Sequence[RunReport], title: str = "", date: datetime | None = None
) -> Path:
    """Write a report of one run, or of several side by side, as one HTML file, and return its path.

    Args:
        path: the file; its folder is made if necessary.
        runs: one or more reports.
        title: the page's heading; by default it has the runs' names.
        date: the date on the page; by default now.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> path = write_report(f"{folder}/report.html", [RunReport("run", "kmex", ("cat", "dog"))])
        >>> "<script" in path.read_text(encoding="utf-8")
        False
    """
    path = Path(path)
    write_text(path, report_html(runs, title, date))
    return path


def report_html(runs: Sequence[RunReport], title: str = "", date: datetime | None = None) -> str:
    """Return the page of `write_report` as text."""
    renderer = PageRenderer(runs)
    names = " · ".join(run.name for run in runs[:3]) + (" …" if len(runs) > 3 else "")
    body = renderer.render("body.html.j2", runs=runs)
    title = title or f"Explanations of the model's predictions: {names}"
    return renderer.page("page.html.j2", title, body, date, runs=runs)


class PageRenderer(HtmlRenderer):
    """Renders the templates of a page, with pictures so small that the whole page stays small.

    Args:
        runs: the content of the page.

    Attributes:
        words: the terms of the methods on the page, without repetition.
    """

    def __init__(self, runs: Sequence[RunReport]) -> None:
        self.runs = runs
        self.words = list(dict.fromkeys(run.words for run in runs if run.prototypes or run.explanations))
        prototypes = sum(len(run.prototypes) for run in runs)
        images = sum(len(run.explanations) for run in runs)
        shown = {
            (run.name, view.index)
            for run in runs
            for explanation in run.explanations
            for reason in explanation.all_reasons
            for view in (reason.prototype, *(step.prototype for step in reason.steps))
        }
        sources = len(shown) + (prototypes if prototypes <= WITH_CONTEXT else 0)
        # The pictures of prototypes in explanations have the same size as in the gallery, and are embedded once.
        crops = max(prototypes, len(shown))
        limits = {
            "crop": PictureLimit(
                CROP.side if crops <= 300 else 88, _budget(GALLERY_BYTES, crops, CROP.budget)
            ),
            "image": PictureLimit(IMAGE.side, _budget(IMAGE_BYTES, images, IMAGE.budget)),
            "source": PictureLimit(SOURCE.side, _budget(SOURCE_BYTES, sources, SOURCE.budget)),
        }
        super().__init__(_environment(), limits)

    def anchor(self, run: RunReport) -> str:
        """Return the anchor of a run's section."""
        return f"run{next(number for number, one in enumerate(self.runs, start=1) if one is run)}"

    def page(self, template: str, title: str, body: Markup, date: datetime | None, **values: object) -> str:
        """Render a whole page around its body, in the style of all pages.

        Args:
            template: the frame.
            title: its heading.
            body: what it shows.
            date: the date on it; None for now.
            **values: further values for the frame.
        """
        styles = [read_style(self.environment, name) for name in ("explanation.css", "page.css")]
        page = self.render(
            template,
            title=title,
            date=(date or datetime.now()).strftime("%d %B %Y, %H:%M").lstrip("0"),
            version=__version__,
            style=Markup().join(styles),
            body=body,
            **values,
        )
        return str(page)

    def confusion(self, result: SplitResult, classes: Sequence[str]) -> Markup:
        """Show the confusion matrix as a picture, for more classes than fit into a table."""
        figure = confusion_figure(result.confusion, classes)
        alt = f"Confusion matrix of the {result.name} images, {len(classes)} classes"
        return Markup('<img src="{}" alt="{}">').format(data_uri(png(figure), "image/png"), alt)

    def png(self, data: bytes) -> str:
        """Return the address of a finished figure."""
        return data_uri(data, "image/png")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = template_environment("resemblance.report", "resemblance.explain")
    environment.globals.update(
        at_a_glance=at_a_glance,
        by_class=by_class,
        class_figures=class_figures,
        frequent_confusions=frequent_confusions,
        grouped=grouped,
        same_images=same_images,
        which_is_better=which_is_better,
        NUMBERED=NUMBERED,
        OPEN=OPEN,
        WITH_CONTEXT=WITH_CONTEXT,
        isnan=np.isnan,
    )
    environment.filters.update(percent=percent, fact=_fact)
    return environment


def _budget(total: int, count: int, largest: int) -> int:
    return max(500, min(largest, total // max(count, 1)))


def _fact(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_fact(item) for item in value)
    return str(value)
