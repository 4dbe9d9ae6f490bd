"""The reference of a model's similarities: how large the deciding one is for images that it classifies correctly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resemblance.config.errors import UserError
from resemblance.config.files.json_file import parse_object
from resemblance.config.files.typed import typed
from resemblance.core.conformal import KEPT, Calibration

QUANTILES = (0.0, 0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
LEAST = 0.01  # an image below this quantile resembles nothing that the model knows
USUAL = (0.05, 0.95)  # the range that explanations show
ENOUGH = 100  # correctly classified images for quantiles
MOST = 1 << 53  # images that a file may claim; numbers up to here are exact


@dataclass(frozen=True)
class SimilarityRange:
    """Quantiles of the deciding similarity over correctly classified validation images.

    Args:
        images: the number of images.
        values: one value per quantile of `QUANTILES`; empty if there are fewer than `ENOUGH` images.

    Example:
        >>> known = SimilarityRange.of(np.linspace(0, 1, 101))
        >>> known.at(0.01), known.at(0.5), known.at(0.6), SimilarityRange.of([0.5]).enough
        (0.01, 0.5, 0.6, False)
    """

    images: int
    values: tuple[float, ...] = ()

    @classmethod
    def of(cls, similarities: Sequence[float] | NDArray[np.floating]) -> SimilarityRange:
        """Compute the quantiles of similarities, in any order."""
        if len(similarities) < ENOUGH:
            return cls(len(similarities))
        values = np.quantile(np.asarray(similarities, np.float64), QUANTILES)
        return cls(len(similarities), tuple(float(f"{value:.6g}") for value in values))

    @property
    def enough(self) -> bool:
        """Whether there were enough images."""
        return bool(self.values)

    def at(self, quantile: float) -> float:
        """Return a quantile; between those that are stored, by linear interpolation."""
        return float(np.interp(quantile, QUANTILES, self.values))


@dataclass(frozen=True)
class Reference:
    """What a model's similarities and probabilities are for validation images, which it was not trained on.

    Args:
        whole: the deciding similarity of all correctly classified images; None for a model that has none.
        classes: that of the correctly classified images of each class, in the order of the classes; empty without.
        calibration: the probabilities of the true classes of all images.
        before_refit: whether it was measured before the model was trained again, on the validation images, too.

    Example:
        >>> similarities = SimilarityRange.of(np.linspace(0.2, 0.8, 100))
        >>> reference = Reference(similarities, (SimilarityRange(50), SimilarityRange(50)), Calibration.of([0.9]))
        >>> reference.of(0) is similarities, Reference.from_dict(reference.to_dict(), 2) == reference
        (True, True)
    """

    whole: SimilarityRange | None
    classes: tuple[SimilarityRange, ...]
    calibration: Calibration
    before_refit: bool = False

    def of(self, class_index: int) -> SimilarityRange | None:
        """Return the range to read an image of a predicted class against: the class's own if it has enough images."""
        if self.whole is None or not self.classes[class_index].enough:
            return self.whole
        return self.classes[class_index]

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold."""

        def entry(known: SimilarityRange) -> dict[str, Any]:
            return {"images": known.images, "values": list(known.values)}

        return {
            "quantiles": list(QUANTILES),
            "all": None if self.whole is None else entry(self.whole),
            "classes": [entry(known) for known in self.classes],
            "calibration": {
                "images": self.calibration.images,
                "probabilities": list(self.calibration.probabilities),
            },
            "before_refit": self.before_refit,
        }

    @classmethod
    def from_dict(cls, values: Any, classes: int, place: str = "reference") -> Reference:
        """Make a reference from a dictionary that `to_dict` returned.

        Args:
            values: the dictionary.
            classes: the number of the model's classes.
            place: the file, for messages.

        Raises:
            UserError: if an entry is missing, or has another type or an impossible value.
        """
        entries = typed(values, _ENTRIES, place, required=True)
        if tuple(entries["quantiles"]) != QUANTILES:
            raise UserError(f"{place}: expected the quantiles {', '.join(f'{q:g}' for q in QUANTILES)}")
        whole = None if entries["all"] is None else _range(entries["all"], f"{place}: all")
        ranges = tuple(_range(entry, f"{place}: class {c}") for c, entry in enumerate(entries["classes"]))
        if len(ranges) != (0 if whole is None else classes):
            raise UserError(f"{place}: {len(ranges)} classes, but the model has {classes}")
        kept = typed(entries["calibration"], _CALIBRATION, f"{place}: calibration", required=True)
        images, probabilities = kept["images"], kept["probabilities"]
        if not 0 <= images < MOST or len(probabilities) != min(images, KEPT):
            raise UserError(f"{place}: {len(probabilities)} probabilities for {images} images")
        _check_sorted(probabilities[::-1], f"{place}: probabilities")
        return cls(whole, ranges, Calibration(images, tuple(probabilities)), entries["before_refit"])

    def to_file(self) -> bytes:
        """Return the content of its file in a model folder."""
        return (json.dumps(self.to_dict()) + "\n").encode()

    @classmethod
    def from_file(cls, content: bytes, classes: int, place: str = "reference") -> Reference:
        """Read what `to_file` returned; see `from_dict`."""
        return cls.from_dict(parse_object(content, place), classes, place)


_ENTRIES = {
    "quantiles": list[float],
    "all": dict[str, Any] | None,
    "classes": list[Any],
    "calibration": dict[str, Any],
    "before_refit": bool,
}
_RANGE = {"images": int, "values": list[float]}
_CALIBRATION = {"images": int, "probabilities": list[float]}


def _range(values: Any, place: str) -> SimilarityRange:
    entries = typed(values, _RANGE, place, required=True)
    known = SimilarityRange(entries["images"], tuple(entries["values"]))
    counted = 0 <= known.images < MOST
    if not counted or len(known.values) != (len(QUANTILES) if known.images >= ENOUGH else 0):
        raise UserError(f"{place}: {len(known.values)} quantiles of {known.images} images")
    _check_sorted(known.values, place)
    return known


def _check_sorted(values: Sequence[float], place: str) -> None:
    if not np.isfinite(values).all() or (np.diff(values) < 0).any():
        raise UserError(f"{place}: the values are not finite and in order")
