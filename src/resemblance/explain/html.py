"""An explanation as HTML: no network, no script, all text escaped. Reports build their pages on it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from resemblance.explain import text
from resemblance.explain.embedded_pictures import EmbeddedPicture, EmbeddedPictures, PictureLimit, heat_uri
from resemblance.explain.explanation_data import ExplanationData
from resemblance.explain.prototype_view import PrototypeView
from resemblance.explain.reason import Reason, Step
from resemblance.explain.rounding import signed
from resemblance.prototypes.gallery import Box

IMAGE = PictureLimit(288, 40_000)
CROP = PictureLimit(128, 8000)
SOURCE = PictureLimit(224, 14_000)


def explanation_html(explanation: ExplanationData) -> str:
    """Return one explanation as a fragment for a notebook, with its style and its pictures.

    Args:
        explanation: of one image.

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
    """Return an environment that finds templates in the folder ``templates`` of these packages, the first first.

    What is filled in is escaped, and a name that is not there is an error.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(wording=text, signed=signed)
    return environment


def read_style(environment: Environment, name: str) -> Markup:
    """Return a style sheet from among the templates, as it is."""
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0])


class HtmlRenderer:
    """Fills in templates, which know it as ``renderer``, and embeds the pictures that they ask for.

    Args:
        environment: where the templates are, see `template_environment`.
        limits: what pictures may take, for the uses ``image``, ``crop`` and ``source``.
    """

    def __init__(self, environment: Environment, limits: Mapping[str, PictureLimit]) -> None:
        self.environment = environment
        self.pictures = EmbeddedPictures(limits)

    def render(self, template: str, **values: object) -> Markup:
        """Fill in a template; the result is safe because the environment escapes."""
        return Markup(self.environment.get_template(template).render(renderer=self, **values))

    def image(self, explanation: ExplanationData) -> Markup:
        """Show the image that is explained."""
        picture = self.pictures.add_pixels("image", explanation.image)
        return _svg(picture, f"The image {explanation.name}")

    def heat_map(self, explanation: ExplanationData, reason: Reason | Step) -> Markup:
        """Show the image with the similarity map and the box of a reason, or of a step of one."""
        picture = self.pictures.add_pixels("image", explanation.image)
        layer = ""
        if reason.heat is not None:
            layer = Markup('<image width="{}" height="{}" preserveAspectRatio="none" href="{}"/>').format(
                picture.width, picture.height, heat_uri(reason.heat)
            )
        alt = f"Where {explanation.name} resembles {reason.prototype.title}"
        return _svg(picture, alt, layer, reason.box)

    def prototype(self, view: PrototypeView) -> Markup:
        """Show the part or image that stands for a prototype."""
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
        """Show the training image behind a prototype with its part marked; nothing where it is all of it."""
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
