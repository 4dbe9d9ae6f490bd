"""Example pictures of the check "provenance": what a folder shows, beside the images that it should show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from resemblance.audit.audited import AuditSubject
from resemblance.audit.finding import Example
from resemblance.audit.integrity.source_pictures import Shown, source_figure
from resemblance.audit.integrity.stored_gallery import item_of
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.inputs import as_picture
from resemblance.drawing.style import png
from resemblance.explain.prototype_view import prototype_views


def source_examples(
    subject: AuditSubject, reasons: Mapping[int, Sequence[str]], boxes: Tensor
) -> tuple[Example, ...]:
    """Return one picture with a row per prototype.

    Args:
        subject: the model and its training images.
        reasons: what is wrong with each of some prototypes, in words; nothing where all is as it should be. Without
            any prototype, there is no picture.
        boxes: (P, 4), the places of all prototypes in their source images.
    """
    if not reasons:
        return ()
    rows = [_row(subject, k, lines, boxes[k]) for k, lines in reasons.items()]
    title = "Stored pictures beside the training images"
    caption = "The place of a part is framed in yellow; a red frame marks what is wrong."
    return (Example(title, png(source_figure(rows)), caption),)


def _row(subject: AuditSubject, k: int, reasons: Sequence[str], box: Tensor) -> Shown:
    model, layer, train = subject.explains, subject.prototypes, subject.train
    assert model is not None
    assert train is not None
    item, source = item_of(model, k), int(layer.source_index[k])
    true, place = None, None
    if 0 <= source < len(train):
        true = as_picture(subject.read([source], train).images[0].cpu())
        x0, y0, x1, y1 = box.tolist()
        place = (x0, y0, x1, y1)
    return Shown(
        title_of(model, k),
        None if item is None else item.image,
        None if item is None else item.box,
        true,
        place,
        list(reasons) or ["as it should be"],
        bool(reasons),
    )


def title_of(model: PrototypeModel, k: int) -> str:
    """Return a prototype's name with its classes."""
    [view] = prototype_views(model, [k])
    return f"{view.title} {view.of_classes}".strip()


def shows(subject: AuditSubject, index: int) -> str:
    """Return which training image a stored picture shows instead, and of which prototypes that is the source."""
    model, train = subject.explains, subject.train
    assert model is not None
    assert train is not None
    sources = (model.prototypes.source_index == index).nonzero().flatten().tolist()
    return f"it shows {train.name(index)}, the source of {title_of(model, sources[0])}"
