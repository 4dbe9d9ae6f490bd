"""What tests ask of figures."""

from __future__ import annotations

import io


def texts(figure):
    """What is written on a figure and on its axes."""
    return [text.get_text() for part in (figure, *figure.axes) for text in part.texts]


def drawn(figure):
    """Whether a figure of a bearable size can be drawn."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=30)
    return file.getvalue()[:4] == b"\x89PNG" and max(figure.get_size_inches()) < 40
