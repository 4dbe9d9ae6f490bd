"""Show a model in a notebook: what it is, and its prototypes."""

from __future__ import annotations

from markupsafe import Markup

from resemblance.core.classifier import Classifier
from resemblance.explain.prototype_view import prototype_views
from resemblance.printing.numbers import share
from resemblance.prototypes.gallery import SHOWN
from resemblance.prototypes.gallery_html import notebook_html, pictures_html


def model_html(model: Classifier) -> str:
    """Return a model as an HTML fragment for a notebook, in the notebook's own colours.

    Args:
        model: any model; the first prototypes are shown with their pictures.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.config.model import ModelSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> "20 prototypes" in model_html(build("protopnet", {"encoder": "small"}, spec))
        True
    """
    image, count = model.spec.image, model.spec.num_classes
    names = ", ".join(model.classes[:10]) + (", …" if count > 10 else "")
    kind = "grey" if image.channels == 1 else "RGB"
    lines = [f"{count} classes: {names}", f"images of {image.height}x{image.width} pixels, {kind}"]
    for split, value in (model.facts.get("accuracy") or {}).items():
        lines.append(f"{share(value)} of the {split} images classified correctly")
    views = prototype_views(model)
    if views:
        lines.append(
            f"{len(views)} {model.traits.words.many}" + f", the first {SHOWN}:" * (len(views) > SHOWN)
        )
    text = Markup("<br>").join(lines)
    pictures = Markup()
    if any(view.picture is not None for view in views):
        pictures = pictures_html((*view.item.framed, f"{view.index}, {view.owner}") for view in views[:SHOWN])
    return notebook_html(Markup("<p><b>{}</b><br>{}</p>{}").format(model.name, text, pictures))
