"""Example pictures of the check "provenance": what a folder shows, beside the images that it should show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from resemblance.audit.audited import AuditSubject
from resemblance.audit.finding import Example
from resemblance.audit.integrity.source_pictures import Shown, source_figure
from resemblance.audit.integrity.stored_gallery import item_of
from resemblance.data.inputs import as_picture
from resemblance.drawing.style import png


def source_examples(
    subject: AuditSubject, chosen: Sequence[int], reasons: Mapping[int, Sequence[str]], boxes: Tensor
) -> tuple[Example, ...]:
    """Return one picture with a row per prototype.

    Args:
        subject: the model and its training images.
        chosen: the prototypes; without any, there is no picture.
        reasons: what is wrong with each, in words; nothing where all is as it should be.
        boxes: (P, 4), the places of all prototypes in their source images.
    """
    if not chosen:
        return ()
    rows = [_row(subject, k, reasons[k], boxes[k]) for k in chosen]
    title = "Stored pictures beside the training images"
    caption = "The place of a part is framed in yellow; a red frame marks what is wrong."
    return (Example(title, png(source_figure(rows)), caption),)


def _row(subject: AuditSubject, k: int, reasons: Sequence[str], box: Tensor) -> Shown:
    model, layer, train = subject.explains, subject.prototypes, subject.train
    assert model is not None
    assert train is not None
    item, source = item_of(model, k), int(layer.source_index[k])
    classes = ", ".join(layer.owner_names(model.spec.classes)[k][:3]) or "no class"
    true, place = None, None
    if 0 <= source < len(train):
        true = as_picture(subject.read([source], train).images[0].cpu())
        x0, y0, x1, y1 = box.tolist()
        place = (x0, y0, x1, y1)
    label = "\n".join([f"{model.traits.words.one} {k} ({classes})", *(reasons or ["as it should be"])])
    stored = None if item is None else item.image
    return Shown(label, stored, None if item is None else item.box, true, bool(reasons), place)
