"""Show pictures in a notebook, in its own colours."""

from __future__ import annotations

import base64
from collections.abc import Iterable

from markupsafe import Markup

from resemblance.printing.characters import printable
from resemblance.prototypes.picture import Picture

SMALL = 64  # pixels of the longer side up to which single pixels are shown
Frame = tuple[float, float, float, float]  # left, top, width and height as shares of the picture

# Without a background, and in the colour of the text around it: notebooks have light and dark themes, and which one
# is used does not follow from the system's.
STYLE = (
    ".resemblance-notebook{color:inherit;background:transparent}"
    ".resemblance-notebook .pictures{display:flex;flex-wrap:wrap;gap:.6rem;align-items:flex-end}"
    ".resemblance-notebook figure{margin:0;width:6rem;font-size:.8rem;line-height:1.3;overflow-wrap:anywhere}"
    ".resemblance-notebook img{display:block;width:6rem;max-width:none;"
    "border:1px solid color-mix(in srgb,currentColor 25%,transparent)}"
    ".resemblance-notebook .small{image-rendering:pixelated}"
    ".resemblance-notebook .framed{display:block;position:relative;overflow:hidden;width:fit-content}"
    ".resemblance-notebook .framed i{position:absolute;box-sizing:border-box;outline:2px solid #ffd21f;"
    "box-shadow:0 0 0 99rem rgba(0,0,0,.45)}"
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


def picture_html(picture: Picture | None, alt: str, frame: Frame | None = None) -> Markup:
    """Return an encoded picture as HTML, with its data inside; an empty frame if there is none.

    Args:
        picture: the picture.
        alt: its description.
        frame: the part to mark; what is outside is dimmed.

    Example:
        >>> picture_html(None, "<cat>")
        Markup('<span class="none" title="&lt;cat&gt;"></span>')
    """
    if picture is None:
        return Markup('<span class="none" title="{}"></span>').format(printable(alt))
    kind = "png" if picture.suffix == ".png" else "jpeg"
    data = base64.b64encode(picture.data).decode("ascii")
    small = ' class="small"' if max(picture.pixels().shape[:2]) <= SMALL else ""
    image = Markup('<img alt="{}"{} src="data:image/{};base64,{}">').format(
        printable(alt), Markup(small), kind, data
    )
    if frame is None:
        return image
    left, top, width, height = (f"{100 * share:.4g}%" for share in frame)
    return Markup('<span class="framed">{}<i style="left:{};top:{};width:{};height:{}"></i></span>').format(
        image, left, top, width, height
    )


def pictures_html(pictures: Iterable[tuple[Picture | None, Frame | None, str]]) -> Markup:
    """Return pictures beside each other, each with its caption below it.

    Args:
        pictures: a picture, the part to mark, and the caption.
    """
    figure = Markup("<figure>{}<figcaption>{}</figcaption></figure>")
    figures = [
        figure.format(picture_html(picture, text, frame), printable(text))
        for picture, frame, text in pictures
    ]
    return Markup('<div class="pictures">{}</div>').format(Markup().join(figures))
