"""The size and normalisation of the images that a model reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import inf
from numbers import Integral
from typing import Any

from resemblance.config.errors import UserError

LARGEST = 10_000  # pixels per side
RESIZES = ("squash", "crop", "pad")
INTERPOLATIONS = ("bilinear", "bicubic", "lanczos", "box", "hamming", "nearest")
SMALLEST_SHARE = 0.1  # of the scaled side that is left after cropping


@dataclass(frozen=True)
class ImageSpec:
    """Size, channels and normalisation of the images that a model reads.

    Images reach a model with values in [0, 1]; it subtracts ``mean`` and divides by ``std`` itself.

    Args:
        height: rows, pixels.
        width: columns, pixels.
        channels: 1 (grey) or 3 (RGB).
        mean: per channel, in units of [0, 1].
        std: per channel, in units of [0, 1].
        resize: ``squash`` scales each side, ``crop`` keeps the aspect ratio and cuts out the middle, ``pad`` keeps it
            and fills up with a colour; see `data.geometry.Preparation`.
        crop_share: the share of the scaled side that the model sees, in [0.1, 1].
        interpolation: the filter that scales pictures, always with antialiasing.
        padding: the colour of padding, per channel, in [0, 1]; by default the mean.
        window: the values that become black and white in images of more than 8 bits; by default, the range of their
            type.
        draft: whether large JPEGs are decoded at a fraction of their size; see `data.formats.jpeg_draft`.

    Raises:
        UserError: if the values are not valid or contradict each other.

    Example:
        >>> ImageSpec(28, 28, 1, (0.1307,), (0.3081,)).size
        (28, 28)
    """

    height: int
    width: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: str = "squash"
    crop_share: float = 1.0
    interpolation: str = "bilinear"
    padding: tuple[float, ...] = ()
    window: tuple[float, float] | None = None
    draft: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(float(value) for value in self.mean))
        object.__setattr__(self, "std", tuple(float(value) for value in self.std))
        if not all(isinstance(value, Integral) for value in (self.height, self.width, self.channels)):
            raise UserError(
                f"height, width and channels must be whole numbers, not {self.height!r}, {self.width!r}, "
                f"{self.channels!r}"
            )
        if not (1 <= self.height <= LARGEST and 1 <= self.width <= LARGEST):
            raise UserError(
                f"image size {self.height}x{self.width} is not within 1 to {LARGEST} pixels per side"
            )
        if self.channels not in (1, 3):
            raise UserError(f"images have {self.channels} channels; supported are 1 (grey) and 3 (RGB)")
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise UserError(
                f"images with {self.channels} channels need {self.channels} values for mean and for std, "
                f"not {len(self.mean)} and {len(self.std)}"
            )
        if not all(0 <= value <= 1 for value in self.mean):  # also refuses NaN
            raise UserError(f"mean must lie in [0, 1], the range of the pixels, not {_listed(self.mean)}")
        if not all(0 < value < inf for value in self.std):
            raise UserError(f"std must be positive, not {_listed(self.std)}")
        object.__setattr__(self, "padding", tuple(float(value) for value in self.padding or self.mean))
        if len(self.padding) != self.channels or not all(0 <= value <= 1 for value in self.padding):
            raise UserError(
                f"padding needs {self.channels} values in [0, 1], not {_listed(self.padding) or 'none'}"
            )
        object.__setattr__(self, "window", checked_window(self.window))
        if self.resize not in RESIZES:
            raise UserError(f"there is no resize {self.resize!r}; choose from {', '.join(RESIZES)}")
        if self.interpolation not in INTERPOLATIONS:
            raise UserError(
                f"there is no interpolation {self.interpolation!r}; choose from {', '.join(INTERPOLATIONS)}"
            )
        if not SMALLEST_SHARE <= self.crop_share <= 1:
            raise UserError(f"the crop share must be from {SMALLEST_SHARE} to 1, not {self.crop_share:g}")

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold; a window and drafts only if there are any, as in older folders."""
        values = asdict(self)
        return {name: value for name, value in values.items() if value or name not in ("window", "draft")}

    @property
    def size(self) -> tuple[int, int]:
        """The height and the width in pixels."""
        return self.height, self.width


def checked_window(window: Sequence[float] | None) -> tuple[float, float] | None:
    """Return the values of black and white as two numbers.

    Raises:
        UserError: if these are not two finite numbers in ascending order.

    Example:
        >>> checked_window((40, -160))
        Traceback (most recent call last):
        resemblance.config.errors.UserError: --window needs two numbers LOW,HIGH with LOW below HIGH, not 40, -160
    """
    if window is None:
        return None
    values = tuple(float(value) for value in window)
    if len(values) != 2 or not -inf < values[0] < values[1] < inf:
        raise UserError(f"--window needs two numbers LOW,HIGH with LOW below HIGH, not {_listed(values)}")
    return values[0], values[1]


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
