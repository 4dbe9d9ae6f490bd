"""Draw the nearest prototypes of all classes in a row, with bars on one scale and the reference behind them."""

from __future__ import annotations

from matplotlib.figure import Figure

from resemblance.drawing.canvas import paste
from resemblance.drawing.style import INK, MUTED, WARN, plain, wrap, write
from resemblance.explain.context.ranking import Ranking
from resemblance.explain.explanation_data import ExplanationData
from resemblance.explain.figure.marks import GAP, MARGIN, draw_bar

HEAD, TITLE, BAR, LINE = 0.34, 0.42, 0.14, 0.17
BAND = "grey band: 5 to 95 % of the images classified correctly"


def ranked_height(explanation: ExplanationData, width: float) -> float:
    """Return the height of the row in a figure of ``width`` inches; 0 without a ranking."""
    ranking = explanation.ranking
    if ranking is None:
        return 0.0
    lines = len(_sentences(ranking, width))
    return HEAD + _side(ranking, width) + BAR + 0.08 + TITLE + LINE * lines + 0.15


def draw_ranked_row(figure: Figure, explanation: ExplanationData, y: float, width: float) -> None:
    """Draw the ranking of an explanation.

    The bars are the similarities on one scale. The band behind them is the range of the similarities on which correct
    predictions rest (see `familiarity`), where the model folder has it.

    Args:
        figure: the figure to draw on.
        explanation: an explanation with a ranking.
        y: inches from the top.
        width: of the figure, in inches.
    """
    ranking = explanation.ranking
    assert ranking is not None
    side, words = _side(ranking, width), ranking.nearest[0].prototype.words.many
    write(figure, MARGIN, y, f"The nearest {words} of all classes", fontweight="bold")
    seen = explanation.familiarity
    if seen.low is not None:
        write(figure, width - MARGIN, y + 0.02, BAND, color=MUTED, fontsize=7.5, ha="right")
    band = None if seen.low is None or seen.high is None else (seen.low, seen.high)
    top = max(ranking.scale, band[1] if band is not None else 0.0)
    for number, one in enumerate(ranking.nearest):
        x = MARGIN + number * (side + GAP)
        paste(figure, x, y + HEAD, side, one.prototype.picture)
        length = max(one.similarity, 0.0)
        draw_bar(figure, length, (0, top), x, y + HEAD + side + 0.08, BAR, side, band)
        below = y + HEAD + side + BAR + 0.12
        color = WARN if number == ranking.rival else INK
        room = max(4, int(side / 0.1))
        write(figure, x, below, plain(one.prototype.owner, room), color=color, fontsize=9, fontweight="bold")
        text = f"{ranking.number(one.similarity)}  ({one.prototype.index})"
        write(figure, x, below + 0.17, text, color=MUTED, fontsize=8)
    below = y + HEAD + side + BAR + 0.08 + TITLE
    for number, line in enumerate(_sentences(ranking, width)):
        write(figure, MARGIN, below + LINE * number, line, fontsize=8.5)


def _side(ranking: Ranking, width: float) -> float:
    count = max(len(ranking.nearest), 6)
    return (width - 2 * MARGIN - (count - 1) * GAP) / count


def _sentences(ranking: Ranking, width: float) -> list[str]:
    return wrap(" ".join(ranking.sentences()), width - 2 * MARGIN, 8)
