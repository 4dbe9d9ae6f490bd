"""What the figure of an explanation shows must be readable."""

from __future__ import annotations

import numpy as np

from figure_checks import bars_of
from resemblance.explain.explanation_data import ExplanationData
from resemblance.explain.figure.explanation_figure import explanation_figure
from resemblance.explain.prototype_view import PrototypeView
from resemblance.explain.reason import Reason
from resemblance.explain.score_breakdown import ScoreBreakdown


def test_bars_leave_room_for_long_contributions():
    """Small scores are written with more digits; the bar must not lie under them."""
    small = tuple(
        Reason(PrototypeView(k, ("cat",)), 0.01, value) for k, value in enumerate((0.009411, 0.000012))
    )
    breakdown = ScoreBreakdown(0, "cat", 0.009423, small)
    explanation = ExplanationData(
        "a.png", np.zeros((8, 8, 3), np.uint8), "kmex", ("cat", "dog"),
        np.array([0.009423, 0.0]), None, "logit", "contribution", 0, (breakdown,),
    )  # fmt: skip
    figure = explanation_figure(explanation)
    renderer = figure.canvas.get_renderer()
    bars = [bar.get_window_extent(renderer) for bar in bars_of(figure)]
    values = [line.value for line in breakdown.lines()]
    texts = [text.get_window_extent(renderer) for text in figure.texts if text.get_text() in values]
    assert len(bars) >= 2
    assert len(texts) >= 3
    assert max(bar.x1 for bar in bars) + 0.04 * figure.dpi < min(text.x0 for text in texts)
