"""Draw the figure of one explanation: the image, its reasons, and the sum of their contributions."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resemblance.drawing.places.shown_image import NOT_SEEN
from resemblance.drawing.style import (
    AGAINST,
    FAINT,
    FOR,
    INK,
    MUTED,
    WARN,
    new_figure,
    place,
    plain,
    show,
    wrap,
    write,
)
from resemblance.explain.against.sum_words import reference_text, sum_text, why_text
from resemblance.explain.explanation_data import ExplanationData
from resemblance.explain.familiarity.familiarity_text import familiarity_lines
from resemblance.explain.map_text import check_text, map_legend, map_notice, votes_text
from resemblance.explain.path_figure import check_lines, draw_path, strip_height, strip_width
from resemblance.explain.pictures.reason_pictures import SCALE, ReasonPictures
from resemblance.explain.reason import Reason
from resemblance.explain.rounding import signed
from resemblance.explain.score_breakdown import ScoreBreakdown
from resemblance.explain.text import (
    counter_text,
    heading_text,
    headline,
    others_text,
    score_word,
    share_text,
    similarity_text,
    similarity_word,
    warnings,
    weight_text,
    weight_word,
)
from resemblance.printing.characters import capitalised

MARGIN, SIDE, GAP, HEAD = 0.3, 1.3, 0.2, 2.35
TEXT, BAR = 3.1, 2.1
LINE, SMALL = 0.26, 0.14
VALUES, DIGIT = 0.75, 0.084  # the room of the contributions, and of one of their characters


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
        if explanation.counter is not None:
            height += self._row(explanation.counter) + 0.75
        self.figure = new_figure(self.width, height)
        self._head()
        y = MARGIN + top
        for breakdown in explanation.breakdowns:
            y = self._breakdown(breakdown, y)
        if explanation.counter is not None:
            self._rule(y, "--")
            write(self.figure, MARGIN, y + 0.12, plain(counter_text(explanation), 110), fontweight="bold")
            self._reason(explanation.counter, y + 0.45, signed(explanation.counter.contribution, 3), None)
        return self.figure

    def _height(self, breakdown: ScoreBreakdown) -> float:
        lines = 2 + bool(breakdown.others)
        share = 0.17 * len(self._share(breakdown)) + 0.32
        rows = sum(self._row(reason) + GAP for reason in breakdown.reasons)
        return 0.55 + rows + lines * LINE + share

    def _row(self, reason: Reason) -> float:
        if not reason.steps:
            return SIDE + (SCALE if "image" in self.columns else 0)
        return strip_height(reason) + 0.3 + SMALL * len(self._checks(reason))

    def _checks(self, reason: Reason) -> list[str]:
        return check_lines(self.explanation, reason, self.width - 2 * MARGIN)

    def _head(self) -> None:
        explanation = self.explanation
        show(
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
        self._rule(y, "-")
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
                self._reason(line.reason, y, line.value, span)
                y += self._row(line.reason) + GAP
                continue
            if line.kind == "score":
                self._rule(y - 0.02, "-", self.text_x)
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

    def _reason(self, reason: Reason, y: float, value: str, span: tuple[float, float] | None) -> None:
        view = reason.prototype
        if reason.steps:
            self._path(reason, y, value, span)
            return
        for number, column in enumerate(self.columns):
            self.pictures.draw(self.figure, column, reason, MARGIN + number * (SIDE + GAP), y, SIDE)
        x = self.text_x
        numbers = f"{similarity_word(self.explanation)} {similarity_text(self.explanation, reason)}"
        if reason.weight is not None:
            numbers += f",  {weight_word(self.explanation)} {weight_text(reason)}"
        votes = votes_text(self.explanation, reason)
        lines = [
            (0.33, view.title, 8.5, MUTED),
            (0.52, plain(view.origin, 48), 8, MUTED),
            (0.75, numbers, 8.5, INK),
        ]
        if view.unused:
            lines[0] = (0.33, f"{view.title}, never the most similar", 8.5, WARN)
        if not view.words.owned:  # the heading is then the title
            lines = [(0.33, lines[1][1], 8, MUTED), (0.56, numbers, 8.5, INK)]
        if votes:
            lines.append((lines[-1][0] + 0.2, votes, 8.5, INK))
        text = check_text(self.explanation, reason)
        down = lines[-1][0] + 0.22
        for number, line in enumerate(wrap(text, self.width - MARGIN - x, 7) if text else []):
            lines.append((down + SMALL * number, line, 7, MUTED))
        write(self.figure, x, y + 0.1, plain(heading_text(reason), 34), fontweight="bold", fontsize=10)
        for down, line, size, color in lines:
            write(self.figure, x, y + down, line, color=color, fontsize=size)
        write(
            self.figure,
            self.width - MARGIN,
            y + 0.1,
            value,
            ha="right",
            fontsize=10,
            fontfamily="monospace",
            fontweight="bold",
        )
        if span is not None:
            self._bar(reason.contribution, span, y + 0.12, 0.16)

    def _path(self, reason: Reason, y: float, value: str, span: tuple[float, float] | None) -> None:
        """Draw a line of numbers and, below it, the path."""
        numbers = f"reached with {similarity_text(self.explanation, reason)}"
        numbers += f" × {weight_text(reason)} for the class in its leaf" if reason.weight is not None else ""
        write(self.figure, MARGIN, y + 0.02, numbers, fontsize=9.5, fontweight="bold")
        right = {"ha": "right", "fontsize": 10, "fontfamily": "monospace", "fontweight": "bold"}
        write(self.figure, self.width - MARGIN, y, value, **right)
        if span is not None:
            self._bar(reason.contribution, span, y + 0.02, 0.16)
        draw_path(self.figure, self.pictures, reason, MARGIN, y + 0.3)
        below = y + 0.3 + strip_height(reason)
        for number, line in enumerate(self._checks(reason)):
            write(self.figure, MARGIN, below + SMALL * number, line, color=MUTED, fontsize=7)

    def _line(self, label: str, value: float | None, text: str, span: tuple[float, float], y: float) -> None:
        weight = "bold" if value is None else "normal"
        write(self.figure, self.text_x, y + 0.05, label, fontweight=weight)
        right = {"ha": "right", "fontsize": 10, "fontfamily": "monospace", "fontweight": weight}
        write(self.figure, self.width - MARGIN, y + 0.05, text, **right)
        if value:
            self._bar(value, span, y + 0.07, 0.12)

    def _bar(self, value: float, span: tuple[float, float], y: float, height: float) -> None:
        """Draw a bar on a scale of 1.1 inches that all lines of the breakdown share."""
        width = 1.1
        axes: Axes = place(self.figure, self.width - MARGIN - self.value_width - width, y, width, height)
        axes.barh([0], [value], color=FOR if value >= 0 else AGAINST, height=0.9)
        axes.axvline(0, color=MUTED, linewidth=0.8)
        axes.set_xlim(*span)
        axes.set_ylim(-0.5, 0.5)
        axes.axis("off")

    def _rule(self, y: float, style: str, x: float = MARGIN) -> None:
        axes = place(self.figure, x, y, self.width - MARGIN - x, 0.02)
        axes.axhline(0.5, color=FAINT if style == "-" else MUTED, linestyle=style, linewidth=1.0)
        axes.axis("off")
