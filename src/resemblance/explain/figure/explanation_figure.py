"""Draw the figure of one explanation: the image, its reasons, and the sum of their contributions."""

from __future__ import annotations

from matplotlib.figure import Figure

from resemblance.drawing.canvas import paste
from resemblance.drawing.places.shown_image import NOT_SEEN
from resemblance.drawing.style import (
    INK,
    MUTED,
    WARN,
    new_figure,
    plain,
    wrap,
    write,
)
from resemblance.explain.against.sum_words import reference_text, sum_text, why_text
from resemblance.explain.explanation_data import ExplanationData
from resemblance.explain.familiarity.familiarity_text import familiarity_lines
from resemblance.explain.figure.marks import (
    BAR,
    DIGIT,
    GAP,
    HEAD,
    LINE,
    MARGIN,
    SIDE,
    TEXT,
    VALUES,
    WIDTH,
    draw_bar,
    draw_rule,
)
from resemblance.explain.figure.path_strip import strip_width
from resemblance.explain.figure.ranked_row import draw_ranked_row, ranked_height
from resemblance.explain.figure.reason_rows import ReasonRows
from resemblance.explain.map_text import map_legend, map_notice
from resemblance.explain.pictures.reason_pictures import ReasonPictures
from resemblance.explain.rounding import signed
from resemblance.explain.score_breakdown import ScoreBreakdown
from resemblance.explain.text import (
    counter_text,
    headline,
    others_text,
    score_word,
    share_text,
    warnings,
)
from resemblance.printing.characters import capitalised


def explanation_figure(explanation: ExplanationData, paper: bool = False) -> Figure:
    """Draw an explanation.

    Each reason has a row: the place where the image resembles the prototype (models with maps), the prototype, the
    training image that it comes from, and its contribution. The lines below complete the sum.

    Args:
        explanation: the explanation of one image.
        paper: whether to overlay maps as the papers do (see `drawing.heat`), with the papers' boxes.

    Example:
        >>> import numpy as np
        >>> from resemblance.explain.score_breakdown import ScoreBreakdown
        >>> from resemblance.explain.prototype_view import PrototypeView
        >>> from resemblance.explain.reason import Reason
        >>> breakdown = ScoreBreakdown(0, "cat", 2.0, (Reason(PrototypeView(3, ("cat",)), 2.0, 2.0),))
        >>> figure = explanation_figure(
        ...     ExplanationData("a.png", np.zeros((8, 8, 3), np.uint8), "kmex", ("cat", "dog"),
        ...                 np.array([2.0, 1.0]), None, "logit", "contribution", 0, (breakdown,)))
        >>> figure.savefig("explanation.png")  # doctest: +SKIP
    """
    return _Layout(explanation, paper).draw()


class _Layout:
    """The layout of one figure, in inches from its upper left corner."""

    def __init__(self, explanation: ExplanationData, paper: bool) -> None:
        self.explanation = explanation
        self.paper = paper
        reasons = explanation.all_reasons
        steps = max((len(reason.steps) for reason in reasons), default=0)
        self.pictures = ReasonPictures.of(explanation, paper)
        self.columns = self.pictures.columns
        self.text_x = MARGIN + len(self.columns) * (SIDE + GAP)
        self.value_width = VALUES
        self.width = max(self.text_x + TEXT + BAR + MARGIN, 2 * MARGIN + strip_width(steps), 7.4)
        self.rows = ReasonRows(explanation, self.pictures, self.width, self.text_x)

    def draw(self) -> Figure:
        """Draw the figure."""
        explanation = self.explanation
        text_width = self.width - 2 * MARGIN - HEAD
        self.title = wrap(capitalised(plain(headline(explanation), 160)), text_width, 14.5)
        self.warnings = [
            line for text in warnings(explanation) for line in wrap(f"! {text}", text_width, 8.5)
        ]
        answer = explanation.black_box
        said_too = (
            f"{capitalised(answer.text())}." if answer is not None and answer.agrees is not False else ""
        )
        dimmed = "" if self.pictures.image.place.complete else NOT_SEEN
        said = [
            *familiarity_lines(explanation),
            said_too,
            map_legend(explanation),
            map_notice(explanation),
            dimmed,
        ]
        about = " ".join(filter(None, said))
        self.legend = wrap(about, text_width, 8) if about else []
        lines = 0.25 * len(self.title) + 0.2 * len(self.warnings) + 0.17 * len(self.legend)
        top = max(HEAD, 0.7 + lines)
        height = MARGIN + top + sum(self._height(breakdown) for breakdown in explanation.breakdowns)
        height += ranked_height(explanation, self.width)
        counter = None if explanation.ranking is not None else explanation.counter  # the row has it
        if counter is not None:
            height += self.rows.height(counter) + 0.75
        self.figure = new_figure(self.width, height)
        self._head()
        y = MARGIN + top
        if explanation.ranking is not None:
            self._rule(y)
            draw_ranked_row(self.figure, explanation, y + 0.1, self.width)
            y += ranked_height(explanation, self.width)
        for breakdown in explanation.breakdowns:
            y = self._breakdown(breakdown, y)
        if counter is not None:
            self._rule(y, dashed=True)
            write(self.figure, MARGIN, y + 0.12, plain(counter_text(explanation), 110), fontweight="bold")
            value = signed(counter.contribution, 3)
            self.rows.draw(self.figure, counter, y + 0.45, value, None, self.value_width)
        return self.figure

    def _height(self, breakdown: ScoreBreakdown) -> float:
        lines = 2 + bool(breakdown.others)
        share = 0.17 * len(self._share(breakdown)) + 0.32
        rows = sum(self.rows.height(reason) + GAP for reason in breakdown.reasons)
        return 0.55 + rows + lines * LINE + share

    def _head(self) -> None:
        explanation = self.explanation
        paste(
            self.figure,
            MARGIN,
            MARGIN,
            HEAD - 0.3,
            self.pictures.image.marked,
            small=self.pictures.image.small,
        )
        x, y = MARGIN + HEAD, MARGIN
        write(self.figure, x, y, plain(explanation.name, 60), color=MUTED)
        warned = explanation.correct is False or explanation.familiarity.unfamiliar
        color = WARN if warned else INK
        y += 0.22
        for line in self.title:
            write(self.figure, x, y, line, fontsize=13, fontweight="bold", color=color)
            y += 0.25
        y += 0.1
        for line in self.warnings:
            write(self.figure, x, y, line, color=WARN, fontsize=8.5)
            y += 0.2
        for line in self.legend:
            write(self.figure, x, y, line, color=MUTED, fontsize=8)
            y += 0.17

    def _breakdown(self, breakdown: ScoreBreakdown, y: float) -> float:
        explanation = self.explanation
        self._rule(y)
        write(
            self.figure,
            MARGIN,
            y + 0.1,
            plain(why_text(score_word(explanation), breakdown), 100),
            fontweight="bold",
        )
        for number, column in enumerate(self.columns if breakdown.reasons else []):
            x = MARGIN + number * (SIDE + GAP)
            write(self.figure, x, y + 0.32, self.pictures.title(column), color=MUTED, fontsize=8)
        if not self.columns:
            legend = "above: this image and its place most similar to the part; below: the part"
            write(self.figure, MARGIN, y + 0.32, legend, color=MUTED, fontsize=8)
        write(self.figure, self.width - MARGIN, y + 0.32, "contribution", color=MUTED, fontsize=8, ha="right")
        y += 0.55
        lines = breakdown.lines()
        values = [
            *(reason.contribution for reason in breakdown.reasons),
            breakdown.others_contribution,
            breakdown.bias,
        ]
        span = min([0.0, *values]), max([1e-12, *values])
        self.value_width = max(VALUES, DIGIT * (1 + max(len(line.value) for line in lines)))
        for line in lines:
            if line.reason is not None:
                self.rows.draw(self.figure, line.reason, y, line.value, span, self.value_width)
                y += self.rows.height(line.reason) + GAP
                continue
            if line.kind == "score":
                self._rule(y - 0.02, x=self.text_x)
                self._line(plain(sum_text(score_word(explanation), breakdown), 48), None, line.value, span, y)
            elif line.kind == "others":
                self._line(others_text(breakdown), breakdown.others_contribution, line.value, span, y)
            else:
                self._line("bias", breakdown.bias, line.value, span, y)
            y += LINE
        for text in self._share(breakdown):
            write(self.figure, self.text_x, y + 0.04, text, color=MUTED, fontsize=8)
            y += 0.17
        return y + 0.32

    def _share(self, breakdown: ScoreBreakdown) -> list[str]:
        width, about = (
            self.width - MARGIN - self.text_x,
            reference_text(score_word(self.explanation), breakdown),
        )
        lines = wrap(plain(about, 400), width, 7.6) if about else []
        return [*lines, *wrap(share_text(self.explanation, breakdown), width, 7.6)]

    def _line(self, label: str, value: float | None, text: str, span: tuple[float, float], y: float) -> None:
        weight = "bold" if value is None else "normal"
        write(self.figure, self.text_x, y + 0.05, label, fontweight=weight)
        right = {"ha": "right", "fontsize": 10, "fontfamily": "monospace", "fontweight": weight}
        write(self.figure, self.width - MARGIN, y + 0.05, text, **right)
        if value:
            x = self.width - MARGIN - self.value_width - WIDTH
            draw_bar(self.figure, value, span, x, y + 0.07, 0.12)

    def _rule(self, y: float, dashed: bool = False, x: float = MARGIN) -> None:
        draw_rule(self.figure, y, self.width - MARGIN, dashed, x)
