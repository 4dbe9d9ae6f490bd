"""Draw the reasons of an explanation, a row each: pictures, numbers, and the bar of the contribution."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure

from resemblance.drawing.style import INK, MUTED, WARN, plain, wrap, write
from resemblance.explain.explanation_data import ExplanationData
from resemblance.explain.figure.marks import GAP, MARGIN, SIDE, SMALL, WIDTH, draw_bar
from resemblance.explain.figure.path_strip import check_lines, draw_path, strip_height
from resemblance.explain.map_text import check_text, votes_text
from resemblance.explain.pictures.reason_pictures import SCALE, ReasonPictures
from resemblance.explain.reason import Reason
from resemblance.explain.text import (
    heading_text,
    similarity_text,
    similarity_word,
    weight_text,
    weight_word,
)

VALUE = {"ha": "right", "fontsize": 10, "fontfamily": "monospace"}


@dataclass(frozen=True)
class ReasonRows:
    """Draws the reasons of one explanation.

    Args:
        explanation: the explanation.
        pictures: its pictures.
        width: of the figure, in inches.
        text_x: inches from the left to the texts.
    """

    explanation: ExplanationData
    pictures: ReasonPictures
    width: float
    text_x: float

    def height(self, reason: Reason) -> float:
        """Return the height of a reason's row in inches."""
        if not reason.steps:
            return SIDE + (SCALE if "image" in self.pictures.columns else 0)
        return strip_height(reason) + 0.3 + SMALL * len(self._checks(reason))

    def draw(
        self,
        figure: Figure,
        reason: Reason,
        y: float,
        value: str,
        span: tuple[float, float] | None,
        value_width: float,
    ) -> None:
        """Draw one reason.

        Args:
            figure: the figure to draw on.
            reason: the reason.
            y: inches from the top.
            value: its contribution, as it is written.
            span: the scale of the bars; None for no bar.
            value_width: the room of the contributions, in inches.
        """
        if reason.steps:
            self._path(figure, reason, y, value)
            bar_y = y + 0.02
        else:
            self._pictures_and_numbers(figure, reason, y, value)
            bar_y = y + 0.12
        if span is not None:
            x = self.width - MARGIN - value_width - WIDTH
            draw_bar(figure, reason.contribution, span, x, bar_y, 0.16)

    def _checks(self, reason: Reason) -> list[str]:
        return check_lines(self.explanation, reason, self.width - 2 * MARGIN)

    def _pictures_and_numbers(self, figure: Figure, reason: Reason, y: float, value: str) -> None:
        for number, column in enumerate(self.pictures.columns):
            self.pictures.draw(figure, column, reason, MARGIN + number * (SIDE + GAP), y, SIDE)
        x = self.text_x
        write(figure, x, y + 0.1, plain(heading_text(reason), 34), fontweight="bold", fontsize=10)
        for down, line, size, color in self._lines(reason):
            write(figure, x, y + down, line, color=color, fontsize=size)
        write(figure, self.width - MARGIN, y + 0.1, value, fontweight="bold", **VALUE)

    def _lines(self, reason: Reason) -> list[tuple[float, str, float, str]]:
        """Return the lines below the heading, each with its distance from the row's top, its size and its colour."""
        view = reason.prototype
        numbers = f"{similarity_word(self.explanation)} {similarity_text(self.explanation, reason)}"
        if reason.weight is not None:
            numbers += f",  {weight_word(self.explanation)} {weight_text(reason)}"
        lines: list[tuple[float, str, float, str]] = [
            (0.33, view.title, 8.5, MUTED),
            (0.52, plain(view.origin, 48), 8, MUTED),
            (0.75, numbers, 8.5, INK),
        ]
        if view.unused:
            lines[0] = (0.33, f"{view.title}, never the most similar", 8.5, WARN)
        if not view.words.owned:  # the heading is then the title
            lines = [(0.33, lines[1][1], 8, MUTED), (0.56, numbers, 8.5, INK)]
        votes = votes_text(self.explanation, reason)
        if votes:
            lines.append((lines[-1][0] + 0.2, votes, 8.5, INK))
        text = check_text(self.explanation, reason)
        down = lines[-1][0] + 0.22
        width = self.width - MARGIN - self.text_x
        for number, line in enumerate(wrap(text, width, 7) if text else []):
            lines.append((down + SMALL * number, line, 7, MUTED))
        return lines

    def _path(self, figure: Figure, reason: Reason, y: float, value: str) -> None:
        """Draw a line of numbers and, below it, the path."""
        numbers = f"reached with {similarity_text(self.explanation, reason)}"
        numbers += f" × {weight_text(reason)} for the class in its leaf" if reason.weight is not None else ""
        write(figure, MARGIN, y + 0.02, numbers, fontsize=9.5, fontweight="bold")
        write(figure, self.width - MARGIN, y, value, fontweight="bold", **VALUE)
        draw_path(figure, self.pictures, reason, MARGIN, y + 0.3)
        below = y + 0.3 + strip_height(reason)
        for number, line in enumerate(self._checks(reason)):
            write(figure, MARGIN, below + SMALL * number, line, color=MUTED, fontsize=7)
