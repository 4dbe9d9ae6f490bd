"""ProtoPShare's figures: merged prototypes, and classes that share prototypes (Rymarczyk et al. 2021).

The paper draws prototypes that were merged by data-dependent similarity, and a graph of the classes that share
prototypes. Here the graph is a matrix, which stays readable with many classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resemblance.config.errors import UserError
from resemblance.config.files.typed import typed
from resemblance.data.images import Pixels
from resemblance.data.inputs import as_picture
from resemblance.data.sources.source import Source
from resemblance.drawing.sharing import pairs_figure, sharing_figure
from resemblance.drawing.sheet import picture, sheet, text
from resemblance.drawing.style import MUTED, plain
from resemblance.methods.paper_figures import FigureInputs, PaperFigure
from resemblance.methods.protopshare.model import ProtoPShare
from resemblance.prototypes.gallery import Box

SIDE, GAP, MARGIN, FOOT, TITLE = 0.85, 0.14, 0.3, 0.4, 0.55  # inches
ROWS, COLUMNS = 20, 9  # the most merged prototypes to show, and the most members of each
Member = Mapping[str, Any]
MEMBER = {
    "prototype": int,
    "classes": list[str],
    "source": int,
    "name": str,
    "box": tuple[int, int, int, int],
}


def merged_figure(
    kept: Sequence[tuple[str, Pixels | None, Box | None]],
    members: Sequence[Sequence[tuple[Member, Pixels | None]]],
) -> Figure:
    """Draw one row per prototype that others were merged into: as it is now, and the prototypes that it was made of.

    Args:
        kept: classes, source image (H, W, 3) and part of each prototype.
        members: the prototypes that each was made of: the entry of ``facts["members"]`` and the source image.
    """
    order = sorted((j for j in range(len(kept)) if len(members[j]) > 1), key=lambda j: -len(members[j]))
    shown = order[:ROWS]
    widest = min(max([len(members[j]) for j in shown], default=1), COLUMNS)
    row = SIDE + FOOT + GAP
    width = max(2 * MARGIN + (widest + 1.5) * (SIDE + GAP), 6.2)
    figure, axes = sheet(width, 2 * MARGIN + TITLE + max(len(shown), 1) * row, unit=1)
    x = MARGIN + 1.5 * (SIDE + GAP)
    text(axes, MARGIN, MARGIN, _merged_title(order, members), ha="left")
    for left, words in ((MARGIN, "now"), (x, "made of (numbers and classes before merging)")):
        text(axes, left, MARGIN + 0.3, words, ha="left", color=MUTED, size=8)
    for number, j in enumerate(shown):
        y = MARGIN + TITLE + number * row
        names, image, box = kept[j]
        _tile(axes, MARGIN, y, image, box, j, names)
        ends = ((MARGIN + SIDE + 0.08, y + SIDE / 2), (x - 0.1, y + SIDE / 2))
        axes.annotate("", *ends, arrowprops={"arrowstyle": "->", "color": MUTED})
        cut = len(members[j]) > COLUMNS
        for place, (member, source) in enumerate(members[j][: COLUMNS - cut]):
            names = ", ".join(member["classes"])
            left = x + place * (SIDE + GAP)
            _tile(axes, left, y, source, tuple(member["box"]), member["prototype"], names)
        if cut:
            words = f"and {len(members[j]) - COLUMNS + 1}\nmore"
            text(axes, x + (COLUMNS - 0.5) * (SIDE + GAP), y + SIDE / 2, words, color=MUTED, size=8)
    return figure


def _merged_title(order: Sequence[int], members: Sequence[Sequence[Any]]) -> str:
    if not order:
        return "No prototype was merged into another."
    gone = sum(len(members[j]) - 1 for j in order)
    count = f"{len(order)} prototype" + ("s" if len(order) > 1 else "")
    text = f"{count} absorbed {gone} other" + ("s" if gone > 1 else "")
    return text + (f"; the {ROWS} that absorbed the most are shown" if len(order) > ROWS else "")


def _tile(
    axes: Axes, x: float, y: float, image: Pixels | None, box: Box | None, index: int, name: str
) -> None:
    """Draw a picture with the prototype's part framed, and its number and class below."""
    picture(axes, image, x, y, SIDE, box=box)
    text(axes, x, y + SIDE + 0.05, str(index), ha="left", va="top", color=MUTED, size=7)
    text(axes, x, y + SIDE + 0.19, plain(name, 13), ha="left", va="top", size=7.5)


def source_picture(model: ProtoPShare, member: Member, train: Source | None) -> Pixels | None:
    """Return the source image of a prototype before it was merged, (H, W, 3); None if it is not available."""
    index = member["source"]
    if train is None or not 0 <= index < len(train) or train.name(index) != member["name"]:
        return None
    return as_picture(train.tensor(index, model.spec.image))


def _members(model: ProtoPShare) -> list[list[Member]]:
    """Return the prototypes that each was made of, as the model's folder says; empty if none was merged.

    Raises:
        UserError: if the folder does not say it in the form that `ProtoPShare.merge` writes.
    """
    place = "facts: members"
    entries = model.facts.get("members") or []
    if entries and len(entries) != len(model.prototypes):
        raise UserError(f"{place} has {len(entries)} entries for {len(model.prototypes)} prototypes")
    return [[typed(member, MEMBER, place, required=True) for member in parts] for parts in entries]


def figures(model: ProtoPShare, inputs: FigureInputs) -> dict[str, PaperFigure]:
    """Draw all figures of a trained model, by title.

    Args:
        model: trained.
        inputs: has the training images that are the sources of the merged prototypes.
    """
    owners = model.prototypes.owners.cpu().numpy()
    by_title: dict[str, PaperFigure] = {}
    entries = _members(model)
    if entries:
        most = sorted(range(len(entries)), key=lambda j: -len(entries[j]))[:ROWS]
        members = [
            [
                (
                    entry,
                    source_picture(model, entry, inputs.train) if j in most and place < COLUMNS else None,
                )
                for place, entry in enumerate(parts)
            ]
            for j, parts in enumerate(entries)
        ]
        names = [", ".join(owner_names) for owner_names in model.prototypes.owner_names(model.spec.classes)]
        kept = [
            (name, None, None)
            if model.gallery is None
            else (name, model.gallery[j].image, model.gallery[j].box)
            for j, name in enumerate(names)
        ]
        by_title["Merged prototypes"] = PaperFigure(
            merged_figure(kept, members),
            "Prototypes as they are now, after fine-tuning and projection, and the sources that they and the "
            "prototypes that were merged into them had before.",
        )
    by_title["Prototypes by the number of their classes"] = PaperFigure(
        sharing_figure(owners), "A prototype that more than one class owns is evidence for each of them."
    )
    by_title["Classes that share prototypes"] = PaperFigure(
        pairs_figure(owners, model.spec.classes), "The number of prototypes that two classes share."
    )
    return by_title
