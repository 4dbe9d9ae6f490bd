"""Pictures of an attack: the image, the changed image, and what an explanation shows for each."""

from __future__ import annotations

from torch import Tensor

from resemblance.audit.finding import Example
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.inputs import as_picture
from resemblance.drawing.panel_row import Panel, panel_row
from resemblance.drawing.style import AGAINST, plain, png
from resemblance.explain.prototype_view import prototype_views

AMPLIFIED = 10


def change_panels(before: Tensor, after: Tensor, was: str, now: str, changed: bool = False) -> list[Panel]:
    """Return the image, the changed image, and the change, amplified around grey.

    Args:
        before: (C, H, W) uint8.
        after: (C, H, W) uint8.
        was: what the model says of the image.
        now: what it says of the changed one.
        changed: whether that is something else.
    """
    first, second = before.float() / 255, after.float() / 255
    change = (0.5 + AMPLIFIED * (second - first)).clamp(0, 1)
    return [
        Panel(as_picture(first), "image", plain(was)),
        Panel(as_picture(second), "changed image", plain(now), AGAINST if changed else None, begins=True),
        Panel(as_picture(change), f"change × {AMPLIFIED}"),
    ]


def prototype_panel(
    model: PrototypeModel, index: int, above: str, below: str = "", frame: str | None = None
) -> Panel:
    """Return the training image of a prototype with its place in it, and its classes."""
    view = prototype_views(model, [index])[0]
    words = plain(f"{view.title} {view.of_classes}", 60)
    picture, box = view.in_source
    return Panel(picture, above, f"{words}, {below}" if below else words, frame, box)


def row_example(title: str, panels: list[Panel], caption: str) -> Example:
    """Draw panels as an example picture."""
    return Example(plain(title, 80), png(panel_row(panels)), caption)
