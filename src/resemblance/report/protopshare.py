"""ProtoPShare's figures: what was merged into what, and which classes share prototypes (Rymarczyk et al. 2021).

Prototypes that were merged by data-dependent similarity, and the graph of classes that share prototypes, here as a
matrix, which stays readable with many classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from resemblance.core.gallery import Box, Pixels
from resemblance.data.source import Source
from resemblance.data.transforms import to_tensor
from resemblance.methods.protopshare import ProtoPShare
from resemblance.report.paper import Drawn, Material
from resemblance.report.style import BOX, FAINT, FOR, INK, MUTED, SMALL, new_figure, place, plain, write
from resemblance.training.gallery import pixels_of

SIDE, GAP, MARGIN, FOOT, TITLE = 0.85, 0.14, 0.3, 0.4, 0.55  # inches
ROWS, COLUMNS = 20, 9  # merged prototypes shown, and the members of each
CLASSES = 40  # shown in the matrix
Member = Mapping[str, Any]


def merged_figure(
    kept: Sequence[tuple[str, Pixels | None, Box | None]],
    members: Sequence[Sequence[tuple[Member, Pixels | None]]],
) -> Figure:
    """One row a prototype that others were merged into: what it is now, and what it was made of.

    Args:
        kept: classes, source image (H, W, 3) and part of each prototype.
        members: what each was made of: the entry of ``facts["members"]`` and the source image.
    """
    order = sorted((j for j in range(len(kept)) if len(members[j]) > 1), key=lambda j: -len(members[j]))
    shown = order[:ROWS]
    widest = min(max([len(members[j]) for j in shown], default=1), COLUMNS)
    row = SIDE + FOOT + GAP
    width = max(2 * MARGIN + (widest + 1.5) * (SIDE + GAP), 6.2)
    figure = new_figure(width, 2 * MARGIN + TITLE + max(len(shown), 1) * row)
    write(figure, MARGIN, MARGIN - 0.08, _merged_title(order, members), fontsize=9)
    write(figure, MARGIN, MARGIN + 0.22, "now", color=MUTED, fontsize=8)
    x = MARGIN + 1.5 * (SIDE + GAP)
    write(figure, x, MARGIN + 0.22, "made of (numbers and classes before merging)", color=MUTED, fontsize=8)
    sheet = figure.add_axes((0, 0, 1, 1))
    sheet.set_xlim(0, figure.get_figwidth())
    sheet.set_ylim(figure.get_figheight(), 0)
    sheet.set_autoscale_on(False)
    sheet.axis("off")
    for number, j in enumerate(shown):
        y = MARGIN + TITLE + number * row
        names, image, box = kept[j]
        _tile(sheet, MARGIN, y, image, box, str(j), names)
        sheet.annotate(
            "",
            (MARGIN + SIDE + 0.08, y + SIDE / 2),
            (x - 0.1, y + SIDE / 2),
            arrowprops={"arrowstyle": "->", "color": MUTED},
        )
        cut = len(members[j]) > COLUMNS
        for place_, (member, picture) in enumerate(members[j][: COLUMNS - cut]):
            left, names = x + place_ * (SIDE + GAP), ", ".join(member["classes"])
            _tile(sheet, left, y, picture, tuple(member["box"]), str(member["prototype"]), names)
        if cut:
            text = f"and {len(members[j]) - COLUMNS + 1}\nmore"
            left = x + (COLUMNS - 0.5) * (SIDE + GAP)
            sheet.text(left, y + SIDE / 2, text, ha="center", va="center", color=MUTED, fontsize=8)
    return figure


def _merged_title(order: Sequence[int], members: Sequence[Sequence[Any]]) -> str:
    if not order:
        return "No prototype was merged into another."
    gone = sum(len(members[j]) - 1 for j in order)
    count = f"{len(order)} prototype" + ("s" if len(order) > 1 else "")
    text = f"{count} took in {gone} other" + ("s" if gone > 1 else "")
    return text + (f"; the {ROWS} that took in most are shown" if len(order) > ROWS else "")


def _tile(
    sheet: Axes, x: float, y: float, pixels: Pixels | None, box: Box | None, number: str, name: str
) -> None:
    """A picture with the prototype's part framed, its number and its class below."""
    foot = y + SIDE
    if pixels is None:
        sheet.add_patch(Rectangle((x, y), SIDE, SIDE, fill=False, edgecolor=FAINT))
        sheet.text(
            x + SIDE / 2, y + SIDE / 2, "no picture", ha="center", va="center", color=MUTED, fontsize=7
        )
    else:
        scale = SIDE / max(pixels.shape[:2])
        height, width = (side * scale for side in pixels.shape[:2])
        foot = y + height
        smooth = "bilinear" if max(pixels.shape[:2]) > SMALL else "nearest"
        extent = (x, x + width, y + height, y)
        sheet.imshow(pixels, extent=extent, interpolation=smooth, aspect="auto", origin="upper")
        if box is not None and box != (0, 0, pixels.shape[1], pixels.shape[0]):
            x0, y0, x1, y1 = (edge * scale for edge in box)
            for color, line in (("black", 2.6), (BOX, 1.4)):
                frame = Rectangle(
                    (x + x0, y + y0), x1 - x0, y1 - y0, fill=False, edgecolor=color, linewidth=line
                )
                sheet.add_patch(frame)
    sheet.text(x, foot + 0.05, number, va="top", color=MUTED, fontsize=7)
    sheet.text(x, foot + 0.19, plain(name, 13), va="top", color=INK, fontsize=7.5, parse_math=False)


def sharing_figure(owners: NDArray[np.bool_]) -> Figure:
    """How many prototypes have one class, two classes, and so on; owners (P, C)."""
    counts = np.bincount(owners.sum(axis=1), minlength=2)[1:]
    numbers = np.arange(1, len(counts) + 1)
    figure = new_figure(min(max(4.2, 0.5 * len(counts) + 1.6), 9.0), 3.0)
    axes = figure.add_axes((0.14, 0.19, 0.82, 0.74))
    axes.bar(numbers, counts, color=FOR, width=0.7)
    if len(counts) <= 20:
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            axes.text(number, count, str(count), ha="center", va="bottom", fontsize=8, color=INK)
    axes.set_ylim(0, max(counts.max(), 1) * 1.14)
    axes.set_xlabel("classes that own a prototype", fontsize=9, color=INK)
    axes.set_ylabel("prototypes", fontsize=9, color=INK)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(labelsize=8, colors=MUTED)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def matrix_figure(owners: NDArray[np.bool_], classes: Sequence[str]) -> Figure:
    """How many prototypes each two classes share: (P, C) owners; the classes that share most, beyond 40."""
    together = owners.T.astype(np.int64) @ owners.astype(np.int64)
    shared = together - np.diag(np.diag(together))
    shown = np.arange(len(classes))
    if len(classes) > CLASSES:
        shown = np.sort(np.argsort(-shared.sum(axis=1), kind="stable")[:CLASSES])
    part = shared[np.ix_(shown, shown)]
    names = [plain(classes[c], 18) for c in shown.tolist()]
    label = 0.25 + 0.075 * max(map(len, names))
    side = max(0.24 * len(shown), 2.0)
    note = "Numbers: prototypes that both classes own."
    if len(shown) < len(classes):
        note = f"The {len(shown)} classes that share most, of {len(classes)}. {note}"
    width = max(MARGIN + label + side + MARGIN, 2 * MARGIN + 0.068 * len(note))
    figure = new_figure(width, MARGIN + 0.3 + side + label + MARGIN)
    write(figure, MARGIN, MARGIN - 0.08, note, color=MUTED, fontsize=8)
    axes = place(figure, MARGIN + label, MARGIN + 0.3, side, side)
    largest = max(int(part.max(initial=0)), 1)
    axes.imshow(part, cmap="Blues", vmin=0, vmax=largest, interpolation="nearest")
    for row, column in zip(*part.nonzero(), strict=True):
        color = "white" if part[row, column] > 0.6 * largest else INK
        text = str(part[row, column])
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=7)
    axes.set_xticks(range(len(shown)), names, rotation=90, fontsize=7, parse_math=False)
    axes.set_yticks(range(len(shown)), names, fontsize=7, parse_math=False)
    axes.tick_params(length=0, colors=INK)
    axes.set_xticks(np.arange(len(shown) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(shown) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=FAINT, linewidth=0.5)
    axes.tick_params(which="minor", length=0)
    for spine in axes.spines.values():
        spine.set_color(FAINT)
    return figure


def source_picture(model: ProtoPShare, member: Member, train: Source | None) -> Pixels | None:
    """The training image that a prototype came from before it was merged, (H, W, 3); None if it is not there."""
    index = member["source"]
    if train is None or not 0 <= index < len(train) or train.name(index) != member["name"]:
        return None
    pixels = pixels_of(to_tensor(train.read(index), model.spec.image))
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def figures(model: ProtoPShare, material: Material) -> dict[str, Drawn]:
    """All figures of a trained model, by what they show.

    Args:
        model: trained.
        material: whose training images the merged prototypes are cut from.
    """
    owners = model.prototypes.owners.cpu().numpy()
    drawn: dict[str, Drawn] = {}
    entries = model.facts.get("members")
    if entries:
        most = sorted(range(len(entries)), key=lambda j: -len(entries[j]))[:ROWS]
        members = [
            [
                (
                    entry,
                    source_picture(model, entry, material.train) if j in most and place < COLUMNS else None,
                )
                for place, entry in enumerate(parts)
            ]
            for j, parts in enumerate(entries)
        ]
        names = [", ".join(found) for found in model.prototypes.owner_names(model.spec.classes)]
        kept = [
            (name, None, None)
            if model.gallery is None
            else (name, model.gallery[j].image, model.gallery[j].box)
            for j, name in enumerate(names)
        ]
        drawn["Merged prototypes"] = Drawn(
            merged_figure(kept, members),
            "Prototypes as they are now, after fine-tuning and projection, and the training images that they and "
            "what was merged into them came from before.",
        )
    drawn["Prototypes by the number of their classes"] = Drawn(
        sharing_figure(owners), "A prototype that more than one class owns is evidence for each of them."
    )
    drawn["Classes that share prototypes"] = Drawn(
        matrix_figure(owners, model.spec.classes), "What two classes have in common, as the model sees it."
    )
    return drawn
