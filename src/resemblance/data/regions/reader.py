"""Read the annotated regions of a source's images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from resemblance.config.image import ImageSpec
from resemblance.data.regions.regions import Regions


class RegionReader(ABC):
    """The annotated regions of the images of a source.

    Attributes:
        kind: "masks", "boxes" or "points".
        names: the names of the parts.
        missing: indices of the images without any annotation, which count as images without visible regions.
        notes: messages for the user.
    """

    kind: str
    names: tuple[str, ...]
    missing: tuple[int, ...]
    notes: list[str]

    @abstractmethod
    def batch(self, indices: Sequence[int], spec: ImageSpec) -> Regions:
        """Return the regions of the images at ``indices`` of the source, at the size that the model reads."""
