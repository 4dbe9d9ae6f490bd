"""Several versions of a batch of images at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from resemblance.audit.shifts.image_changes import ImageChange
from resemblance.config.image import ImageSpec
from resemblance.data.sources.source import Source
from resemblance.data.transforms import scaled, to_pixels


def read_versions(
    source: Source,
    positions: Sequence[int] | Tensor,
    changes: Sequence[ImageChange],
    spec: ImageSpec,
    seed: int = 0,
) -> Tensor:
    """Read images once, and return them as they are and after each change.

    Args:
        source: the images.
        positions: (B,) their positions.
        changes: V changes.
        spec: the size and the channels that the model reads.
        seed: of the changes' noise.

    Returns:
        (1 + V, B, C, H, W) in [0, 1].
    """
    rows = []
    for position in positions:
        image = source.read(int(position))
        pictures = [image, *(change(image, seed) for change in changes)]
        rows.append(np.stack([to_pixels(picture, spec) for picture in pictures]))
    if not rows:
        return torch.zeros(1 + len(changes), 0, spec.channels, *spec.size)
    pixels = np.stack(rows, axis=1)
    return scaled(pixels.reshape(-1, *pixels.shape[2:])).reshape(1 + len(changes), len(rows), -1, *spec.size)
