"""The classes and images that a model is made for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.printing.characters import fits_a_line


@dataclass(frozen=True)
class ModelSpec:
    """The classes between which a model decides, and the images that it reads.

    Args:
        classes: their names, in the order of the labels.
        image: size, channels and normalisation.

    Raises:
        UserError: with fewer than two classes, or a name that does not fit into a line.

    Example:
        >>> spec = ModelSpec(("cat", "dog"), ImageSpec(32, 32, 1, (0.5,), (0.5,)))
        >>> spec.num_classes, ModelSpec.from_dict(spec.to_dict()) == spec
        (2, True)
    """

    classes: tuple[str, ...]
    image: ImageSpec

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        if len(self.classes) < 2:
            raise UserError(f"a classifier needs at least two classes, not {list(self.classes)}")
        for number, name in enumerate(self.classes):
            if not fits_a_line(str(name)):
                raise UserError(
                    f"the name of class {number}, {name!r}, has control characters or is not UTF-8; rename it"
                )

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.classes)

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold."""
        return {"classes": list(self.classes), "image": asdict(self.image)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelSpec:
        """Make a specification from a dictionary that `to_dict` returned."""
        return cls(tuple(values["classes"]), ImageSpec(**values["image"]))
