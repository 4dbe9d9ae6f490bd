"""Show pictures in a notebook, in its own colours."""

from __future__ import annotations

import base64
from collections.abc import Iterable

from markupsafe import Markup

from resemblance.printing.characters import printable
from resemblance.prototypes.picture import Picture

# Without a background, and in the colour of the text around it: notebooks have light and dark themes, and which one
# is used does not follow from the system's.
STYLE = (
    ".resemblance-notebook{color:inherit;background:transparent}"
    ".resemblance-notebook .pictures{display:flex;flex-wrap:wrap;gap:.6rem;align-items:flex-end}"
    ".resemblance-notebook figure{margin:0;width:6rem;font-size:.8rem;line-height:1.3;overflow-wrap:anywhere}"
    ".resemblance-notebook img{display:block;width:6rem;max-width:none;image-rendering:auto;"
    "border:1px solid color-mix(in srgb,currentColor 25%,transparent)}"
    ".resemblance-notebook .none{display:block;width:6rem;height:6rem;border:1px dashed currentColor;opacity:.5}"
    ".resemblance-notebook table,.resemblance-notebook tr{background:transparent;color:inherit}"
    ".resemblance-notebook td,.resemblance-notebook th{padding:.2rem .6rem;text-align:left;color:inherit}"
)


def notebook_html(body: Markup) -> str:
    """Return a fragment for a notebook: it inherits the colour of the text and has no background.

    Args:
        body: HTML whose texts are escaped.
    """
    return str(
        Markup('<div class="resemblance-notebook"><style>{}</style>{}</div>').format(Markup(STYLE), body)
    )


def picture_html(picture: Picture | None, alt: str) -> Markup:
    """Return an encoded picture as HTML, with its data inside; an empty frame if there is none.

    Args:
        picture: the picture.
        alt: its description.

    Example:
        >>> picture_html(None, "<cat>")
        Markup('<span class="none" title="&lt;cat&gt;"></span>')
    """
    if picture is None:
        return Markup('<span class="none" title="{}"></span>').format(printable(alt))
    kind = "png" if picture.suffix == ".png" else "jpeg"
    data = base64.b64encode(picture.data).decode("ascii")
    return Markup('<img alt="{}" src="data:image/{};base64,{}">').format(printable(alt), kind, data)


def pictures_html(pictures: Iterable[tuple[Picture | None, str]]) -> Markup:
    """Return pictures beside each other, each with its caption below it.

    Args:
        pictures: pairs of a picture and its caption.
    """
    figure = Markup("<figure>{}<figcaption>{}</figcaption></figure>")
    figures = [figure.format(picture_html(picture, text), printable(text)) for picture, text in pictures]
    return Markup('<div class="pictures">{}</div>').format(Markup().join(figures))
