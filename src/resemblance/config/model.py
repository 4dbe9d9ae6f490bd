"""The classes and images that a model is made for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from resemblance.config.errors import UserError
from resemblance.config.files.typed import make, typed
from resemblance.config.image import ImageSpec
from resemblance.printing.characters import fits_a_line

# What describes a model, in its config.json and inside of another model: the method, its settings, `ModelSpec.to_dict`.
DESCRIPTION = {"method": str, "config": dict[str, Any], "spec": dict[str, Any]}
# What a model folder may say beside its description.
OPTIONAL = {"encoder": str | None, "facts": dict[str, Any]}
# The facts about any model; those of a method are in its model's `fact_types`.
FACTS = {
    "data": str,
    "accuracy": dict[str, float],
    "black_box": dict[str, float],
    "agreement": dict[str, float],
    "class_means": dict[str, float],
    "prototypes": int,
    "original": str,
    "notes": list[str],
}


@dataclass(frozen=True)
class ModelSpec:
    """The classes between which a model decides, and the images that it reads.

    Args:
        classes: their names, in the order of the labels.
        image: size, channels and normalisation.

    Raises:
        UserError: with fewer than two classes, or if their names are not distinct texts that fit into a line.

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
            raise UserError(f"a classifier needs at least two classes, not {str(list(self.classes))[:100]}")
        odd = [name for name in self.classes if not isinstance(name, str) or not name]
        if odd:
            raise UserError(f"the names of the classes must be text, not {repr(odd[0])[:100]}")
        if len(set(self.classes)) < len(self.classes):
            [(name, _)] = Counter(self.classes).most_common(1)
            raise UserError(f"two classes have the same name, {repr(name)[:100]}")
        for number, name in enumerate(self.classes):
            if not fits_a_line(name):
                raise UserError(
                    f"the name of class {number}, {name!r}, has control characters or is not UTF-8; rename it"
                )

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.classes)

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold."""
        return {"classes": list(self.classes), "image": self.image.to_dict()}

    @classmethod
    def from_dict(cls, values: Any) -> ModelSpec:
        """Make a specification from a dictionary that `to_dict` returned.

        Raises:
            UserError: if an entry is unknown or missing, or has another type or an invalid value.
        """
        entries = typed(values, {"classes": list[Any], "image": dict[str, Any]}, "spec", required=True)
        image = make(ImageSpec, entries["image"], "spec: image")
        try:
            return cls(tuple(entries["classes"]), image)
        except UserError as error:
            raise UserError(f"spec: {error}") from None
