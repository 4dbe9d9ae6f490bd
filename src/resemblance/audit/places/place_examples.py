"""Example pictures of attacks on places: what a record keeps for them, and how they are drawn."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from resemblance.audit.audit_check import Record
from resemblance.audit.finding import Example
from resemblance.audit.places.place_aims import PairMaps, shown_boxes
from resemblance.audit.places.place_figure import PlaceChange, place_figure
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.inputs import levels
from resemblance.drawing.style import plain, png
from resemblance.explain.prototype_view import prototype_views


def keep_example(
    record: Record,
    pair: int,
    images: Tensor,
    changed: Tensor,
    which: Tensor,
    classes: Tensor,
    before: Sequence[PairMaps],
    after: Sequence[PairMaps],
    size: tuple[int, int],
) -> None:
    """Add to ``record["examples"]`` what a picture of a pair needs.

    Args:
        record: of a part.
        pair: the number of the pair.
        images: (n, C, H, W) in [0, 1].
        changed: (n, C, H, W).
        which: (n,) the prototypes.
        classes: (n,) the predicted classes.
        before: the maps of the images.
        after: the maps of the changed images.
        size: height and width of the images.
    """
    maps, boxes = [], []
    for parts in (before, after):
        for own in parts:
            for number in (own.pairs == pair).nonzero().flatten().tolist():
                single = PairMaps(own.pairs[number : number + 1], own.layer, own.cells[number : number + 1])
                maps.append(single.cells[0].float().cpu())
                boxes.append(shown_boxes(single, size)[0].tolist())
    record["examples"].append(
        {
            "before": levels(images[pair]),
            "after": levels(changed[pair]),
            "maps": maps,
            "boxes": boxes,
            "prototype": int(which[pair]),
            "class": int(classes[pair]),
        }
    )


def place_examples(
    model: PrototypeModel,
    records: Sequence[Record],
    count: int,
    title: str,
    caption: str,
    *,
    outcome: str = "",
) -> tuple[Example, ...]:
    """Draw the first examples of all records.

    Args:
        model: the model.
        records: of all parts.
        count: the largest number of pictures.
        title: of each picture, with ``{prototype}``.
        caption: of each picture.
        outcome: what is said of the changed image where the prototype is found nowhere; empty if elsewhere.
    """
    pictures = []
    for kept in [one for record in records for one in record["examples"]][:count]:
        view = prototype_views(model, [kept["prototype"]])[0]
        name = model.spec.classes[kept["class"]]
        before, after = (cells.numpy() for cells in kept["maps"])
        place, found = (tuple(box) for box in kept["boxes"])
        images = (kept["before"].float() / 255, kept["after"].float() / 255)
        change = PlaceChange(*images, before, after, place, None if outcome else found, outcome=outcome)
        figure = place_figure(change, view, (f"predicted {name}", f"still predicted {name}"))
        pictures.append(
            Example(plain(f"{name}: {title.format(prototype=view.title)}", 80), png(figure), caption)
        )
    return tuple(pictures)
