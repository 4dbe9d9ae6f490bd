"""Render an explanation as HTML without network or script, with all text escaped; reports build on it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from resemblance.drawing.deletion_curve import deletion_curve
from resemblance.drawing.heat import scale_picture
from resemblance.drawing.places.close_up import inside, surroundings
from resemblance.drawing.places.shown_image import NOT_SEEN, InputPlace
from resemblance.explain import map_text, text
from resemblance.explain.against import sum_words
from resemblance.explain.embedded_pictures import EmbeddedPicture, EmbeddedPictures, PictureLimit, heat_uri
from resemblance.explain.explanation_data import ExplanationData
from resemblance.explain.familiarity import familiarity_text
from resemblance.explain.pictures.place_pictures import shared_side
from resemblance.explain.prototype_view import PrototypeView
from resemblance.explain.reason import Reason, Step
from resemblance.explain.rounding import signed
from resemblance.printing.characters import capitalised, printable
from resemblance.prototypes.gallery import Box
from resemblance.relevance.deletion_check import DeletionCheck

IMAGE = PictureLimit(900, 100_000)
CROP = PictureLimit(192, 12_000)
SOURCE = PictureLimit(224, 14_000)


def explanation_html(explanation: ExplanationData) -> str:
    """Return one explanation as an HTML fragment for a notebook, with its style and its pictures.

    Args:
        explanation: the explanation of one image.

    Example:
        >>> import numpy as np
        >>> from resemblance.explain.score_breakdown import ScoreBreakdown
        >>> breakdown = ScoreBreakdown(0, "<cat>", 2.0, (Reason(PrototypeView(3, ("<cat>",)), 2.0, 2.0),))
        >>> fragment = explanation_html(
        ...     ExplanationData("a.png", np.zeros((8, 8, 3), np.uint8), "kmex", ("<cat>", "dog"),
        ...                     np.array([2.0, 1.0]), None, "logit", "contribution", 0, (breakdown,)))
        >>> "&lt;cat&gt;" in fragment, "<cat>" in fragment, "<script" in fragment
        (True, False, False)
    """
    renderer = HtmlRenderer(_environment(), {"image": IMAGE, "crop": CROP, "source": SOURCE})
    body = renderer.render("fragment.html.j2", explanation=explanation)
    whole = Markup('<div class="resemblance fragment"><style>{}</style>{}{}</div>')
    style = read_style(_environment(), "explanation.css")
    return str(whole.format(style, renderer.pictures.definitions(), body))


def template_environment(*packages: str) -> Environment:
    """Return an environment that looks for templates in the folders ``templates`` of these packages, in this order.

    It escapes all values, and an undefined name is an error.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        wording=text,
        map_wording=map_text,
        familiarity_wording=familiarity_text,
        sum_words=sum_words,
        signed=signed,
        capitalised=capitalised,
    )
    return environment


def read_style(environment: Environment, name: str) -> Markup:
    """Return the text of a style sheet in the template folders, without escaping."""
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0])


class HtmlRenderer:
    """Renders templates, which call it ``renderer``, and embeds the pictures that they use.

    Args:
        environment: the environment of the templates, see `template_environment`.
        limits: the limits of pictures for the uses ``image``, ``crop`` and ``source``.
    """

    def __init__(self, environment: Environment, limits: Mapping[str, PictureLimit]) -> None:
        self.environment = environment
        self.pictures = EmbeddedPictures(limits)

    def render(self, template: str, **values: object) -> Markup:
        """Render a template; the result is safe because the environment escapes all values."""
        page = self.environment.get_template(template).render(renderer=self, **values)
        return Markup(printable(page, lines=True))  # escapes have no character that HTML reads

    def image(self, explanation: ExplanationData) -> Markup:
        """Show the image that is explained."""
        picture, place = self._explained(explanation)
        return _svg(picture, f"The image {explanation.name}", _veil(picture, place.seen, not place.complete))

    def heat_map(self, explanation: ExplanationData, reason: Reason | Step) -> Markup:
        """Show the image with the map and the box of a reason or a step."""
        picture, place = self._explained(explanation)
        layer = _veil(picture, place.seen, not place.complete)
        if (heat := reason.heat) is not None:
            signed = explanation.signed
            style = Markup(' style="image-rendering:pixelated"') if signed and picture.small else ""
            x0, y0, x1, y1 = (round(edge, 2) for edge in place.frame)
            layer += Markup(
                '<image x="{:g}" y="{:g}" width="{:g}" height="{:g}" preserveAspectRatio="none"{} href="{}"/>'
            ).format(x0, y0, x1 - x0, y1 - y0, style, heat_uri(heat, signed))
        alt = f"Where {explanation.name} resembles {reason.prototype.title}"
        if explanation.signed and reason.map.drawn:
            alt = f"Map of {explanation.name} for {reason.prototype.title}: {map_text.map_name(explanation)}"
        return _svg(picture, alt, layer, None if reason.box is None else place.box(reason.box))

    def cut_off(self, explanation: ExplanationData) -> str:
        """Return the sentence that explains the veil over an image; empty if the model sees all of it."""
        return "" if self._explained(explanation)[1].complete else NOT_SEEN

    def part(self, explanation: ExplanationData, reason: Reason | Step) -> Markup:
        """Show the part of the image that resembles a prototype, in its surroundings; nothing without a part."""
        if reason.box is None:
            return Markup()
        picture, place = self._explained(explanation)
        side = shared_side(reason.prototype, reason.box, explanation.input_size)
        frame = place.box(surroundings(reason.box, explanation.input_size, side))
        box = place.box(reason.box)
        alt = f"The part of {explanation.name} that resembles {reason.prototype.title}"
        return _svg(picture, alt, _veil(picture, box), box, frame)

    def scale(self, explanation: ExplanationData, reason: Reason | Step) -> Markup:
        """Show the colours of a map, with what the first and the last of them mean; nothing without a map."""
        if not reason.map.drawn:
            return Markup()
        low, high = map_text.scale_texts(explanation, reason)
        colours = Markup(", ").join(
            Markup("rgb({},{},{})").format(*colour)
            for colour in scale_picture(explanation.signed, steps=7)[0].tolist()
        )
        return Markup(
            '<span class="scale"><span>{}</span><i style="background:linear-gradient(to right, {})"></i>'
            "<span>{}</span></span>"
        ).format(low, colours, high)

    def _explained(self, explanation: ExplanationData) -> tuple[EmbeddedPicture, InputPlace]:
        original = explanation.original
        if original is None:
            picture = self.pictures.add_pixels("image", explanation.image)
        else:
            picture = self.pictures.add("image", original.data, original.decode)
        size = picture.height, picture.width
        preparation = None if original is None else explanation.preparation
        return picture, InputPlace.of(size, explanation.input_size, preparation)

    def curve(self, check: DeletionCheck) -> Markup:
        """Show the curve of a deletion check."""
        return deletion_curve(check.shares, check.marked, check.random, check.spread, check.sentence())

    def prototype(self, view: PrototypeView, beside: Box | None = None) -> Markup:
        """Show the part, in its surroundings, or the image that represents a prototype.

        Args:
            view: the prototype.
            beside: the part of an image beside which it is shown, in the same scale.
        """
        item = view.item
        stored = item.decoding if view.decoded else item.source
        if stored is None:
            return Markup('<span class="none">no picture</span>')
        title = f"decoded {view.title}" if view.decoded else view.title
        alt = capitalised(f"{title}, {view.owner}" if view.words.owned else title)
        source = None if view.decoded or view.place is None else view.source
        if source is None or view.place is None:
            return _svg(self.pictures.add("crop", stored.data, stored.pixels), alt)
        size = source.shape[0], source.shape[1]
        frame = surroundings(view.place, size, shared_side(view, beside, size))
        picture = self.pictures.add("crop", stored.data, stored.pixels, frame)
        part = inside(view.place, frame)
        return _svg(picture, alt, _veil(picture, part), part)

    def source(self, view: PrototypeView) -> Markup:
        """Show the training image of a prototype with its part marked; nothing if the prototype is the whole image."""
        stored = view.item.source
        if stored is None or not (view.place or view.decoded):
            return Markup()
        picture = self.pictures.add("source", stored.data, stored.pixels)
        return _svg(picture, f"Training image {view.source_name}", box=view.place)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return template_environment("resemblance.explain")


def _veil(picture: EmbeddedPicture, box: Box, drawn: bool = True) -> Markup:
    """Return a veil over a picture, except over a box."""
    if not drawn:
        return Markup()
    x0, y0, x1, y1 = box
    return Markup('<path class="veil" d="M0 0H{}V{}H0ZM{} {}V{}H{}V{}Z"/>').format(
        picture.width, picture.height, x0, y0, y1, x1, y0
    )


def _svg(
    picture: EmbeddedPicture, alt: str, layer: str = "", box: Box | None = None, view: Box | None = None
) -> Markup:
    """Return a picture with what lies over it.

    Args:
        picture: the picture.
        alt: what it shows.
        layer: SVG in the picture's coordinates.
        box: a part to mark.
        view: the part to show; by default all of it.
    """
    frame = Markup()
    if box is not None:
        x0, y0, x1, y1 = box
        rectangle = Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>')
        frame = Markup().join(
            rectangle.format(kind, x0, y0, x1 - x0, y1 - y0) for kind in ("box under", "box")
        )
    left, top, right, bottom = (0, 0, picture.width, picture.height) if view is None else view
    return Markup(
        '<svg class="pic" viewBox="{} {} {} {}" role="img" aria-label="{}"><use href="#{}"/>{}{}</svg>'
    ).format(left, top, right - left, bottom - top, alt, picture.name, layer, frame)
