"""Checks of figures."""

from __future__ import annotations

import io

from matplotlib.colors import to_hex

from resemblance.drawing.canvas import canvas
from resemblance.drawing.style import AGAINST, FOR


def texts(figure):
    """Return the texts on a figure and on its axes."""
    return [text.get_text() for part in (figure, *figure.axes) for text in part.texts]


def drawn(figure):
    """Return whether the figure can be drawn, and is not too large."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=30)
    return file.getvalue()[:4] == b"\x89PNG" and max(figure.get_size_inches()) < 40


def bars_of(figure):
    """Return the bars of an explanation's figure, from above."""
    return [patch for patch in canvas(figure).patches if to_hex(patch.get_facecolor()) in (FOR, AGAINST)]
