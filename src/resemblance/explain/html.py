"""Render an explanation as HTML without network or script, with all text escaped; reports build on it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from resemblance.drawing.deletion_curve import deletion_curve
from resemblance.explain import map_text, text
from resemblance.explain.against import sum_words
from resemblance.explain.embedded_pictures import EmbeddedPicture, EmbeddedPictures, PictureLimit, heat_uri
from resemblance.explain.explanation_data import ExplanationData
from resemblance.explain.familiarity import familiarity_text
from resemblance.explain.prototype_view import PrototypeView
from resemblance.explain.reason import Reason, Step
from resemblance.explain.rounding import signed
from resemblance.printing.characters import printable
from resemblance.prototypes.gallery import Box
from resemblance.relevance.deletion_check import DeletionCheck

IMAGE = PictureLimit(288, 40_000)
CROP = PictureLimit(128, 8000)
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
        picture = self.pictures.add_pixels("image", explanation.image)
        return _svg(picture, f"The image {explanation.name}")

    def heat_map(self, explanation: ExplanationData, reason: Reason | Step) -> Markup:
        """Show the image with the map and the box of a reason or a step."""
        picture = self.pictures.add_pixels("image", explanation.image)
        layer = ""
        if reason.heat is not None:
            signed = explanation.signed
            style = Markup(' style="image-rendering:pixelated"') if signed and picture.small else ""
            layer = Markup('<image width="{}" height="{}" preserveAspectRatio="none"{} href="{}"/>').format(
                picture.width, picture.height, style, heat_uri(reason.heat, signed)
            )
        alt = f"Where {explanation.name} resembles {reason.prototype.title}"
        if explanation.signed and reason.heat is not None:
            alt = f"Map of {explanation.name} for {reason.prototype.title}: {map_text.map_name(explanation)}"
        return _svg(picture, alt, layer, reason.box)

    def curve(self, check: DeletionCheck) -> Markup:
        """Show the curve of a deletion check."""
        return deletion_curve(check.shares, check.marked, check.random, check.spread, check.sentence())

    def prototype(self, view: PrototypeView) -> Markup:
        """Show the part or image that represents a prototype."""
        item = view.item
        stored = item.decoding if view.decoded else item.source
        if stored is None:
            return Markup('<span class="none">no picture</span>')
        box = None if view.decoded else view.box
        picture = self.pictures.add("crop", stored.data, stored.pixels, box)
        title = f"decoded {view.title}" if view.decoded else view.title
        alt = f"{title}, {view.owner}" if view.words.owned else title
        return _svg(picture, alt[0].upper() + alt[1:])

    def source(self, view: PrototypeView) -> Markup:
        """Show the training image of a prototype with its part marked; nothing if the prototype is the whole image."""
        stored = view.item.source
        if stored is None or not (view.box or view.decoded):
            return Markup()
        picture = self.pictures.add("source", stored.data, stored.pixels)
        return _svg(picture, f"Training image {view.source_name}", box=view.box)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return template_environment("resemblance.explain")


def _svg(picture: EmbeddedPicture, alt: str, layer: str = "", box: Box | None = None) -> Markup:
    frame = Markup()
    if box is not None:
        x0, y0, x1, y1 = box
        rectangle = Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>')
        frame = Markup().join(
            rectangle.format(kind, x0, y0, x1 - x0, y1 - y0) for kind in ("box under", "box")
        )
    return Markup(
        '<svg class="pic" viewBox="0 0 {} {}" role="img" aria-label="{}"><use href="#{}"/>{}{}</svg>'
    ).format(picture.width, picture.height, alt, picture.name, layer, frame)
