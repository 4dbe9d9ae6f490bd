"""Checks of figures."""

from __future__ import annotations

import io


def texts(figure):
    """Return the texts on a figure and on its axes."""
    return [text.get_text() for part in (figure, *figure.axes) for text in part.texts]


def drawn(figure):
    """Return whether the figure can be drawn, and is not too large."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=30)
    return file.getvalue()[:4] == b"\x89PNG" and max(figure.get_size_inches()) < 40
