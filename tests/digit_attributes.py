"""Attributes of real digits, computed from their pixels."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

NAMES = (
    "hole",
    "two_holes",
    "slanted_right",
    "slanted_left",
    "thick",
    "wide",
    "heavy_below",
    "touches_centre",
)


def digit_attributes(images):
    """Compute binary attributes (N, 8) of digits (N, H, W), uint8, bright on dark."""
    return np.array([_of(image) for image in images])


def _of(image):
    ink = image > 100
    ground, parts = ndimage.label(
        np.pad(~ink, 1, constant_values=True)
    )  # the padding joins all that is outside
    holes = sum((ground == part).sum() >= 2 for part in range(1, parts + 1) if part != ground[0, 0])
    rows, columns = np.nonzero(ink)
    weights = image[ink].astype(float)
    y, x = (np.average(places, weights=weights) for places in (rows, columns))
    slant = np.average((rows - y) * (columns - x), weights=weights) / np.average(
        (rows - y) ** 2, weights=weights
    )
    thickness = 4 * ndimage.distance_transform_edt(np.pad(ink, 1)).sum() / ink.sum()
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    middle = (rows.min() + rows.max()) / 2
    centre = ink[int(middle), int((columns.min() + columns.max()) / 2)]
    return (
        holes >= 1,
        holes >= 2,
        slant < -0.15,
        slant > 0.15,
        thickness > 5,
        width / height > 0.8,
        y > middle,
        centre,
    )
