"""Draw a model's own prototypes beside those that KMEx finds in its encoder, class by class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure

from resemblance.core.prototype_model import PrototypeModel
from resemblance.drawing.sheet import picture, sheet, text
from resemblance.drawing.style import MUTED, WARN, plain, write
from resemblance.explain.prototype_view import PrototypeView, prototype_views
from resemblance.metrics.suite.aggregate import find_value
from resemblance.metrics.suite.result import number
from resemblance.printing.characters import printable
from resemblance.report.gallery_figure import by_class
from resemblance.runs.kmex_beside import Evaluated

SIDE, GAP, MARGIN, NAME, BETWEEN = 0.62, 0.08, 0.3, 1.1, 0.45
PER_ROW, CLASSES = 10, 20  # the largest number of prototypes per class and side, and of classes


def gallery_pairs(runs: Sequence[Evaluated]) -> Iterator[tuple[str, str, Figure]]:
    """Yield the name of the file, the title and the figure for each model that was compared with KMEx."""
    originals = {run.measured.name: run for run in runs if run.measured.of is None}
    for run in runs:
        if run.measured.of is None:
            continue
        original = originals[run.measured.of]
        own, kmex = original.subject.model, run.subject.model
        if isinstance(own, PrototypeModel) and isinstance(kmex, PrototypeModel):
            name = printable(original.measured.name).replace("\\", "_").replace("/", "_")
            figure = gallery_pair(
                prototype_views(own),
                prototype_views(kmex),
                own.spec.classes,
                (_heading(original, "its own"), _heading(run, "KMEx")),
            )
            yield f"prototypes-{name}", f"Prototypes of {original.measured.name}, and KMEx's", figure


def gallery_pair(
    own: Sequence[PrototypeView],
    kmex: Sequence[PrototypeView],
    classes: Sequence[str],
    headings: tuple[str, str],
) -> Figure:
    """Draw two galleries side by side, one row per class.

    Args:
        own: the prototypes on the left.
        kmex: the prototypes on the right.
        classes: the names of the classes.
        headings: the texts above the two.
    """
    sides = [by_class(own, classes), by_class(kmex, classes)]
    names = [name for name in dict.fromkeys([*sides[0], *sides[1]]) if any(side.get(name) for side in sides)]
    left_out = max(len(names) - CLASSES, 0)
    names = names[:CLASSES]
    widest = [max([1, *(min(len(side.get(name, ())), PER_ROW) for name in names)]) for side in sides]
    step = SIDE + GAP
    starts = [MARGIN + NAME, MARGIN + NAME + widest[0] * step + BETWEEN]
    top = MARGIN + 0.55
    width = max(starts[1] + widest[1] * step + MARGIN, starts[1] + 2.6)
    figure, axes = sheet(width, top + len(names) * step + MARGIN + 0.3, unit=1)
    for start, heading in zip(starts, headings, strict=True):
        write(figure, start, MARGIN, heading, fontsize=9, fontweight="bold")
    for row, name in enumerate(names):
        y = top + row * step
        text(axes, MARGIN, y + SIDE / 2, plain(name, 14), ha="left", size=8.5)
        for start, side, most in zip(starts, sides, widest, strict=True):
            views = side.get(name, [])
            for column, view in enumerate(views[:most]):
                frame = WARN if view.unused else None
                picture(axes, view.picture, start + column * step, y, SIDE, frame, whole=view.source)
            if len(views) > most:
                text(
                    axes,
                    start + most * step,
                    y + SIDE / 2,
                    f"+{len(views) - most}",
                    ha="left",
                    size=7,
                    color=MUTED,
                )
    note = "Most used first; a red frame marks a prototype that is never the most similar one."
    if left_out:
        note += f" {left_out} more classes are not drawn."
    write(figure, MARGIN, top + len(names) * step + 0.12, note, fontsize=8, color=MUTED)
    return figure


def _heading(run: Evaluated, whose: str) -> str:
    parts = [f"{whose} prototypes"]
    for measure, name, word in (("ghosting", "ghosting", "ghosting"), ("diversity", "diversity", "D_dvs")):
        value = find_value(run.measured, measure, name)
        if value is not None and value.defined:
            parts.append(f"{word} {number(value.value)}")
    return parts[0] + (f"\n{', '.join(parts[1:])}" if parts[1:] else "")
