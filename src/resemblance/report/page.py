"""One self-contained page: no network, no script, all text escaped."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import resemblance
from resemblance.drawing.style import png
from resemblance.explain import text as wording
from resemblance.explain.explanation import Explanation
from resemblance.explain.pictures import Embedded, Entry, Limit, data_uri, heat_uri
from resemblance.explain.prototype_view import PrototypeView
from resemblance.explain.rounding import signed
from resemblance.explain.score_breakdown import Reason, Step
from resemblance.prototypes.gallery import Box
from resemblance.report.confusion import NUMBERED, class_figures, confusion_figure, frequent_confusions
from resemblance.report.content import RunReport, SplitResult
from resemblance.report.gallery import by_class

# Bytes of pictures in a whole page. In base64, and with the text around them, this stays under 15 MB.
GALLERY_BYTES, IMAGE_BYTES, SOURCE_BYTES = 4_500_000, 2_500_000, 2_500_000
WITH_CONTEXT = 150  # prototypes up to which the gallery shows where each lies in its image


def write_report(
    path: str | Path, runs: Sequence[RunReport], title: str = "", date: datetime | None = None
) -> Path:
    """Write a report of one run, or of several side by side, as one HTML file.

    Args:
        path: the file; its folder is made.
        runs: one or more.
        title: the page's heading; by default the runs' names.
        date: when it was made; by default now.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> path = write_report(f"{folder}/report.html", [RunReport("run", "kmex", ("cat", "dog"))])
        >>> "<script" in path.read_text(encoding="utf-8")
        False
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(report_html(runs, title, date), encoding="utf-8")
    return path


def report_html(runs: Sequence[RunReport], title: str = "", date: datetime | None = None) -> str:
    """The page of `write_report` as text."""
    scribe = _Scribe(runs)
    names = " · ".join(run.name for run in runs[:3]) + (" …" if len(runs) > 3 else "")
    body = scribe.render("body.html.j2", runs=runs)
    page = scribe.render(
        "page.html.j2",
        title=title or f"Why the model says what it says: {names}",
        date=(date or datetime.now()).strftime("%d %B %Y, %H:%M").lstrip("0"),
        version=resemblance.__version__,
        runs=runs,
        style=_style(),
        body=body,
    )
    return str(page)


def explanation_html(explanation: Explanation) -> str:
    """One explanation as a fragment for a notebook, with its style and its pictures."""
    scribe = _Scribe([RunReport("", explanation.method, explanation.classes, explanations=[explanation])])
    body = scribe.render("fragment.html.j2", explanation=explanation)
    whole = Markup('<div class="resemblance fragment"><style>{}</style>{}{}</div>')
    return str(whole.format(_style(), scribe.pictures.definitions(), body))


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("resemblance.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        wording=wording,
        signed=signed,
        by_class=by_class,
        class_figures=class_figures,
        frequent_confusions=frequent_confusions,
        NUMBERED=NUMBERED,
        WITH_CONTEXT=WITH_CONTEXT,
        isnan=np.isnan,
    )
    environment.filters.update(percent=_percent, fact=_fact)
    return environment


def _style() -> Markup:
    loader = _environment().loader
    assert loader is not None
    return Markup(loader.get_source(_environment(), "style.css")[0])


class _Scribe:
    """Renders templates and embeds the pictures that they ask for."""

    def __init__(self, runs: Sequence[RunReport]) -> None:
        shows = [run for run in runs if run.prototypes or run.explanations]
        self.words = list(dict.fromkeys(run.words for run in shows))
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
        # Crops of shown prototypes are embedded with the gallery's, at one size.
        crops = max(prototypes, len(shown))
        self.pictures = Embedded(
            {
                "crop": Limit(128 if crops <= 300 else 88, _budget(GALLERY_BYTES, crops, 8000)),
                "image": Limit(288, _budget(IMAGE_BYTES, images, 40_000)),
                "source": Limit(224, _budget(SOURCE_BYTES, sources, 14_000)),
            }
        )

    def render(self, template: str, **values: object) -> Markup:
        """Fill a template in; its result is safe because the environment escapes."""
        return Markup(_environment().get_template(template).render(scribe=self, **values))

    def image(self, explanation: Explanation) -> Markup:
        """The image that is explained."""
        entry = self.pictures.add_pixels("image", explanation.image)
        return _svg(entry, f"The image {explanation.name}")

    def place(self, explanation: Explanation, reason: Reason | Step) -> Markup:
        """The image with the similarity map and the box of a reason, or of a step of one."""
        entry = self.pictures.add_pixels("image", explanation.image)
        heat = ""
        if reason.heat is not None:
            heat = Markup('<image width="{}" height="{}" preserveAspectRatio="none" href="{}"/>').format(
                entry.width, entry.height, heat_uri(reason.heat)
            )
        alt = f"Where {explanation.name} resembles {reason.prototype.title}"
        return _svg(entry, alt, heat, reason.box)

    def crop(self, view: PrototypeView) -> Markup:
        """What stands for a prototype."""
        item = view.item
        picture = item.decoding if view.decoded else item.source
        if picture is None:
            return Markup('<span class="none">no picture</span>')
        entry = self.pictures.add("crop", picture.data, picture.pixels, None if view.decoded else view.box)
        title = f"decoded {view.title}" if view.decoded else view.title
        alt = f"{title}, {view.owner}" if view.words.owned else title
        return _svg(entry, alt[0].upper() + alt[1:])

    def source(self, view: PrototypeView) -> Markup:
        """The training image behind a prototype, with its part marked; empty where it is all of it."""
        source = view.item.source
        if source is None or not (view.box or view.decoded):
            return Markup()
        entry = self.pictures.add("source", source.data, source.pixels)
        return _svg(entry, f"Training image {view.source_name}", box=view.box)

    def confusion(self, result: SplitResult, classes: Sequence[str]) -> Markup:
        """The confusion matrix as a picture, where there are too many classes for a table."""
        figure = confusion_figure(result.confusion, classes)
        alt = f"Confusion matrix of the {result.name} images, {len(classes)} classes"
        return Markup('<img src="{}" alt="{}">').format(data_uri(png(figure), "image/png"), alt)

    def png(self, data: bytes) -> str:
        """The address of a finished figure."""
        return data_uri(data, "image/png")


def _svg(entry: Entry, alt: str, layer: str = "", box: Box | None = None) -> Markup:
    frame = Markup()
    if box is not None:
        x0, y0, x1, y1 = box
        rectangle = Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>')
        frame = Markup().join(
            rectangle.format(kind, x0, y0, x1 - x0, y1 - y0) for kind in ("box under", "box")
        )
    return Markup(
        '<svg class="pic" viewBox="0 0 {} {}" role="img" aria-label="{}"><use href="#{}"/>{}{}</svg>'
    ).format(entry.width, entry.height, alt, entry.name, layer, frame)


def _budget(total: int, count: int, most: int) -> int:
    return max(500, min(most, total // max(count, 1)))


def _percent(share: float | None) -> str:
    return "–" if share is None or np.isnan(share) else f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def _fact(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_fact(item) for item in value)
    return str(value)
