"""`Explanations`, a list of explanations that shows itself in a few lines."""

from __future__ import annotations

from markupsafe import Markup

from resemblance.explain import text
from resemblance.explain.explanation import Explanation
from resemblance.explain.many.tally import Tally
from resemblance.prototypes.gallery import Picture
from resemblance.prototypes.gallery_html import notebook_html, picture_html

SHOWN = 20  # rows in a notebook


class Explanations(list[Explanation]):
    """A list of explanations; a notebook shows them as a table with pictures.

    Example:
        >>> Explanations()
        <0 explanations>
    """

    @property
    def summary(self) -> str:
        """The counts in one line: how many are right, how many wrong."""
        return Tally(self).sentence()

    def __repr__(self) -> str:
        count = len(self)
        counts = f"; {self.summary}" if count else ""
        return f"<{count} explanation{'' if count == 1 else 's'}{counts}>"

    def _repr_html_(self) -> str:
        rows = Markup().join(_row(explanation) for explanation in self[:SHOWN])
        more = f"{len(self) - SHOWN} more are not shown." if len(self) > SHOWN else ""
        head = Markup("<tr><th>image</th><th></th><th>answer</th><th>first reason</th><th></th></tr>")
        table = Markup("<table>{}{}</table>").format(head, rows) if self else ""
        return notebook_html(Markup("<p>{}</p>{}<p>{}</p>").format(self.summary, table, more))


def _row(explanation: Explanation) -> Markup:
    image = picture_html(Picture.from_pixels(explanation.image), explanation.name)
    reasons = explanation.reasons
    picture, frame = reasons[0].prototype.item.framed if reasons else (None, None)
    why = (
        text.similarity_word(explanation) + " " + text.similarity_text(explanation, reasons[0])
        if reasons
        else ""
    )
    title = f"{reasons[0].prototype.title}, {why}" if reasons else "none"
    return Markup("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>").format(
        image,
        explanation.name,
        text.headline(explanation),
        "" if picture is None else picture_html(picture, title, frame),
        title,
    )
