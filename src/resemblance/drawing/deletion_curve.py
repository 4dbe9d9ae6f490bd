"""A small curve: what is left of a value when pixels are removed, against random places. Knows no model."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from resemblance.drawing.style import FOR

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 132, 64, 4, 13, 9


def deletion_curve(
    shares: Sequence[float],
    marked: Sequence[float],
    random: Sequence[float],
    spread: Sequence[float],
    alt: str,
) -> Markup:
    """Return the curve as SVG without scripts, in the colour of the text around it.

    Args:
        shares: the shares of pixels that are removed, ascending, the first 0.
        marked: the value at each share when the marked pixels are removed; the thick blue line.
        random: the mean value when random places are removed; the dashed line.
        spread: the standard deviation of these values; the band around the dashed line.
        alt: the description for readers who cannot see it.

    Example:
        >>> curve = deletion_curve([0.0, 0.1, 0.5], [2.0, 0.8, 0.4], [2.0, 1.8, 1.2], [0.0, 0.1, 0.2], "a < b")
        >>> curve[:4], "a &lt; b" in curve, curve.count("<polyline")
        (Markup('<svg'), True, 2)
    """
    high = [mean + deviation for mean, deviation in zip(random, spread, strict=True)]
    low = [mean - deviation for mean, deviation in zip(random, spread, strict=True)]
    least, most = min(0.0, *marked, *random), max(*marked, *high)
    if not most > least:
        most = least + 1.0

    def point(share: float, value: float) -> str:
        x = LEFT + (WIDTH - 2 * LEFT) * share / shares[-1]
        value = min(max(value, least), most)
        y = TOP + (HEIGHT - TOP - BOTTOM) * (most - value) / (most - least)
        return f"{x:.1f},{y:.1f}"

    def line(values: Sequence[float]) -> str:
        return " ".join(point(share, value) for share, value in zip(shares, values, strict=True))

    band = line(high) + " " + " ".join(reversed(line(low).split()))
    base = HEIGHT - BOTTOM
    return Markup(
        '<svg class="curve" viewBox="0 0 {width} {height}" role="img" aria-label="{alt}" font-size="8" '
        'fill="currentColor"><path d="M{left},{base}H{right}" stroke="currentColor" opacity=".4"/>'
        '<polygon points="{band}" opacity=".15"/>'
        '<polyline points="{random}" fill="none" stroke="currentColor" stroke-dasharray="3 2" opacity=".8"/>'
        '<polyline points="{marked}" fill="none" stroke="{colour}" stroke-width="2"/>'
        '<text x="{left}" y="{under}">0 %</text>'
        '<text x="{right}" y="{under}" text-anchor="end">{last} % removed</text></svg>'
    ).format(
        width=WIDTH, height=HEIGHT, alt=alt, left=LEFT, right=WIDTH - LEFT, base=base, under=HEIGHT - 3,
        band=band, random=line(random), marked=line(marked), colour=FOR, last=f"{100 * shares[-1]:.0f}",
    )  # fmt: skip
