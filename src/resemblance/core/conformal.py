"""Sets of classes that hold the true one with a chosen probability: split conformal prediction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KEPT = 1000  # probabilities that are stored, at most


@dataclass(frozen=True)
class Calibration:
    """The probabilities of the true classes of validation images, from which sets of classes are computed.

    Of an image like these, the set of all classes whose probability is not below `threshold` holds the true class with
    the chosen probability, whatever the probabilities of the model are worth (Vovk et al. 2005; Sadinle et al. 2019).

    Args:
        images: the number of images.
        probabilities: those of their true classes, the largest first; of more than `KEPT` images, those at `ranks`.

    Example:
        >>> calibration = Calibration.of([0.875, 0.25, 0.625, 0.75])
        >>> calibration.threshold(0.6), calibration.classes([0.7, 0.3, 0.0], 0.6)
        (0.625, (0,))
        >>> calibration.threshold(0.9), calibration.classes([0.7, 0.3, 0.0], 0.9)
        (None, (0, 1, 2))
    """

    images: int
    probabilities: tuple[float, ...]

    @classmethod
    def of(cls, probabilities: Sequence[float] | NDArray[np.floating]) -> Calibration:
        """Keep what is needed of the probabilities of the true classes, in any order."""
        values = np.sort(np.asarray(probabilities, np.float32))[::-1]
        kept = values[ranks(len(values)) - 1]
        return cls(len(values), tuple(float(f"{value:.9g}") for value in kept))  # 9 digits hold a float32

    def threshold(self, level: float) -> float | None:
        """Return the probability from which a class is in the set; None if there are too few images for this level.

        Args:
            level: the probability in [0, 1] with which the set holds the true class; where not all probabilities of the
                images are kept, it is at most 0.1 percentage points higher.
        """
        rank = max(1, math.ceil((self.images + 1) * level - 1e-9))  # 1e-9: 0.9 × 10 is above 9
        if rank > self.images:
            return None
        return self.probabilities[int(np.searchsorted(ranks(self.images), rank))]

    def classes(self, probabilities: Sequence[float] | NDArray[np.floating], level: float) -> tuple[int, ...]:
        """Return the set of classes of one image, the most probable first; all of them without a threshold.

        Args:
            probabilities: (C,) the model's probabilities of the image.
            level: as for `threshold`.
        """
        values = np.asarray(probabilities, np.float32)
        threshold = self.threshold(level)
        order = np.argsort(-values, kind="stable")
        return tuple(int(c) for c in order if threshold is None or values[c] >= np.float32(threshold))


def ranks(images: int) -> NDArray[np.int64]:
    """Return the ranks, from 1, of the probabilities that are kept of a number of images: at most `KEPT`.

    Example:
        >>> ranks(4).tolist(), len(ranks(123_456)), ranks(123_456)[-1].item()
        ([1, 2, 3, 4], 1000, 123456)
    """
    if images <= KEPT:
        return np.arange(1, images + 1)
    return -(-np.arange(1, KEPT + 1) * images // KEPT)
