"""Count what an evaluation asks of the models, so that its price can be compared with its time."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields


@dataclass
class Cost:
    """The work of an evaluation.

    Args:
        forward: images that the model has classified.
        black_box: images that the black box has classified.
        gradients: images of which a gradient was computed for one number, forward and backward.
        prototype_maps: relevance maps of prototypes.
        class_maps: relevance maps of classes, by the model.
        black_box_maps: relevance maps of classes, by the black box.

    Example:
        >>> cost = Cost(forward=128)
        >>> cost.forward += 10
        >>> cost.to_dict()["forward"]
        138
    """

    forward: int = 0
    black_box: int = 0
    gradients: int = 0
    prototype_maps: int = 0
    class_maps: int = 0
    black_box_maps: int = 0

    def add(self, other: Cost) -> None:
        """Add other work."""
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))

    def to_dict(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)
