"""Cut out the place of an image that resembles a prototype, and the prototype's own place, in frames of one scale."""

from __future__ import annotations

from resemblance.data.images import Pixels
from resemblance.drawing.places.close_up import close_up, dimmed, frame_side, inside, surroundings
from resemblance.drawing.places.shown_image import ShownImage
from resemblance.explain.prototype_view import PrototypeView
from resemblance.explain.reason import Reason, Step
from resemblance.prototypes.gallery import Box


def shared_side(view: PrototypeView, box: Box | None, size: tuple[int, int], paper: bool = False) -> int:
    """Return the side of the frames that show a part of an image and the prototype's part of its source.

    Args:
        view: the prototype.
        box: the part of the image.
        size: height and width of what the model reads.
        paper: whether the papers' box is marked, and not the place around the maximum.
    """
    own = None if view.source is None else view.box if paper else view.place
    boxes = [part for part in (box, own) if part is not None]
    return frame_side(boxes, size)


def part_picture(
    image: ShownImage, reason: Reason | Step, box: Box, paper: bool = False
) -> tuple[Pixels, Box]:
    """Return the frame around a box in an explained image, in the image's resolution, and the box within the frame.

    Args:
        image: the explained image, as it is shown.
        reason: the reason, whose prototype is shown beside it in the same scale.
        box: the box, in pixels of what the model reads.
        paper: as for `shared_side`.
    """
    side = shared_side(reason.prototype, box, image.place.input, paper)
    frame = image.place.box(surroundings(box, image.place.input, side))
    x0, y0, x1, y1 = frame
    part = inside(image.place.box(box), frame)
    return dimmed(image.marked[y0:y1, x0:x1], part), part


def prototype_picture(
    view: PrototypeView, box: Box | None = None, paper: bool = False
) -> tuple[Pixels | None, Box | None]:
    """Return the picture of a prototype: decoded, a whole image, or a part in its surroundings with the part in it.

    Args:
        view: the prototype.
        box: the part of an image beside which it is shown, in the same scale.
        paper: mark the papers' box, and not the place around the maximum.
    """
    marked = view.box if paper else view.place
    source = view.source
    if view.decoded or source is None or marked is None:
        return view.picture, None
    return close_up(source, marked, shared_side(view, box, (source.shape[0], source.shape[1]), paper))
