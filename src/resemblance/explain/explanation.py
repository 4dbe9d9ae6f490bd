"""`Explanation`, the result of `explain`: its data, shown as text, as a figure and in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resemblance.explain import text
from resemblance.explain.explanation_data import ExplanationData
from resemblance.explain.rounding import NO_BREAK
from resemblance.explain.text_table import text_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Explanation(ExplanationData):
    """The explanation of a model's prediction for an image, as `explain` returns it.

    Printing it shows a table of reasons that add up to the score; a notebook displays it with pictures. Its fields are
    those of `ExplanationData`.

    Example:
        >>> import numpy as np
        >>> from resemblance.explain.prototype_view import PrototypeView
        >>> from resemblance.explain.reason import Reason
        >>> from resemblance.explain.score_breakdown import ScoreBreakdown
        >>> reason = Reason(PrototypeView(3, ("cat",)), similarity=2.0, contribution=2.0, weight=1.0)
        >>> breakdown = ScoreBreakdown(0, "cat", 2.0, (reason,))
        >>> scores = np.array([2.0, 1.0])
        >>> image = np.zeros((8, 8, 3), np.uint8)
        >>> explanation = Explanation("a.png", image, "protopnet", ("cat", "dog"), scores, None, "logit",
        ...                           "contribution", prediction=0, breakdowns=(breakdown,), label=1)
        >>> explanation.predicted, explanation.correct, explanation.reasons[0].prototype.index
        ('cat', False, 3)
    """

    @property
    def warnings(self) -> list[str]:
        """Sentences about reasons that are not reliable or do not represent the whole score."""
        return text.warnings(self)

    def to_dict(self, arrays: bool = False) -> dict[str, Any]:
        """Return a dictionary that JSON can hold; image, maps and pictures are included only if ``arrays``."""
        return super().to_dict(arrays) | {"warnings": self.warnings}

    def plot(self, paper: bool = False) -> Figure:
        """Draw the image and its reasons.

        Args:
            paper: whether to overlay maps as the papers do (see `drawing.heat`).

        Returns:
            A matplotlib figure, which needs no display.
        """
        # Here, because matplotlib takes a second to import.
        from resemblance.explain.figure.explanation_figure import explanation_figure

        return explanation_figure(self, paper)

    def __repr__(self) -> str:
        reasons = f"{len(self.reasons)} reason{'' if len(self.reasons) == 1 else 's'}"
        return f"<Explanation of {self.name!r}: {text.headline(self)}, {reasons}>".replace(NO_BREAK, " ")

    def _repr_html_(self) -> str:
        from resemblance.explain.html import explanation_html

        return explanation_html(self)

    def __str__(self) -> str:
        return text_table(self)
