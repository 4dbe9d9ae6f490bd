"""The pictures of a figure's reasons: image with map, its part, the prototype in its surroundings, and its source."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure

from resemblance.drawing.canvas import canvas, paste, spread
from resemblance.drawing.heat import scale_picture
from resemblance.drawing.places.shown_image import ShownImage
from resemblance.drawing.style import MUTED, SMALL, write
from resemblance.explain.explanation_data import ExplanationData
from resemblance.explain.map_text import scale_texts
from resemblance.explain.pictures.place_pictures import part_picture, prototype_picture
from resemblance.explain.reason import Reason, Step
from resemblance.prototypes.gallery import Box

MAP_SIDE = 480  # pixels of the longer side of a picture under a map, which is drawn small
SCALE = 0.22  # inches below a map, for its colours


@dataclass(frozen=True)
class ReasonPictures:
    """The pictures of the reasons of one explanation.

    Args:
        explanation: the explanation.
        paper: whether to draw maps and boxes as the papers do.
        image: the explained image, in the resolution in which parts of it are shown.
        small_image: the same for maps, which are drawn small.
        columns: the pictures of each reason; none if reasons are paths.
    """

    explanation: ExplanationData
    paper: bool
    image: ShownImage
    small_image: ShownImage
    columns: tuple[str, ...]

    @classmethod
    def of(cls, explanation: ExplanationData, paper: bool = False) -> ReasonPictures:
        """Prepare the pictures of an explanation."""
        original = None if explanation.original is None else explanation.original.decode()
        image, small_image = (
            ShownImage.of(explanation.image, original, explanation.preparation, side)
            for side in (None, MAP_SIDE)
        )
        return cls(explanation, paper, image, small_image, _columns(explanation))

    def title(self, column: str) -> str:
        """Return the words above a column."""
        has_maps = "image" in self.columns
        return {
            "image": "this image" if "part" in self.columns else "this image …",
            "part": "its part …",
            "prototype": "… " * has_maps + self.explanation.words.picture,
            "source": "which comes from" if has_maps else "nearest training image",
        }[column]

    def draw(
        self, figure: Figure, column: str, reason: Reason | Step, x: float, y: float, side: float
    ) -> None:
        """Draw the picture of a column within a square of ``side`` inches, with its corner at x, y."""
        view, box = reason.prototype, self._box(reason)
        single = None if view.source is None else max(view.source.shape[:2]) <= SMALL
        if column == "image":
            self.draw_image(figure, reason, x, y, side)
        elif column == "part" and box is not None:
            pixels, part = part_picture(self.image, reason, box, self.paper)
            paste(figure, x, y, side, pixels, part, small=self.image.small)
        elif column == "prototype":
            picture, marked = prototype_picture(view, box, self.paper)
            paste(figure, x, y, side, picture, marked, small=single)
        elif column == "source" and view.source is not None and (view.place or view.decoded):
            paste(figure, x, y, side, view.source, view.box if self.paper else view.place)

    def draw_image(
        self, figure: Figure, reason: Reason | Step, x: float, y: float, side: float, scale: bool = True
    ) -> None:
        """Draw the explained image with the map and the box of a reason, and the scale of the map's colours below."""
        image, signed, box = self.small_image, self.explanation.signed, self._box(reason)
        heat = reason.heat
        pixels = image.marked if heat is None else image.heated(heat, self.paper, signed)
        marked = None if box is None else image.place.box(box)
        paste(figure, x, y, side, pixels, marked, small=image.small)
        if heat is None or not scale:
            return
        below = y + side * min(1.0, pixels.shape[0] / pixels.shape[1])
        wide = side * min(1.0, pixels.shape[1] / pixels.shape[0])
        spread(canvas(figure), scale_picture(signed, self.paper), x, below + 0.05, wide, 0.06)
        low, high = scale_texts(self.explanation, reason)
        write(figure, x, below + 0.12, low, color=MUTED, fontsize=6.5)
        write(figure, x + wide, below + 0.12, high, color=MUTED, fontsize=6.5, ha="right")

    def _box(self, reason: Reason | Step) -> Box | None:
        return reason.percentile_box if self.paper else reason.box


def _columns(explanation: ExplanationData) -> tuple[str, ...]:
    reasons = explanation.all_reasons
    if any(reason.steps for reason in reasons):
        return ()
    columns = []
    if any(reason.map.drawn for reason in reasons):
        columns += ["image", "part"] if explanation.located else ["image"]
    columns.append("prototype")
    views = [reason.prototype for reason in reasons]
    if any(view.source is not None and (view.place or view.decoded) for view in views):
        columns.append("source")
    return tuple(columns)
