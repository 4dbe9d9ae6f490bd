"""Match a classifier's outputs with the classes of the data, by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.data.text import reason


def read_classes(classes: str | Sequence[str]) -> tuple[str, ...]:
    """Return class names from a list, from text with commas, or from a file with one name per line.

    Example:
        >>> read_classes("cat, dog"), read_classes(["a", "b"])
        (('cat', 'dog'), ('a', 'b'))
    """
    if not isinstance(classes, str):
        return tuple(classes)
    if "," not in classes and Path(classes).is_file():
        try:
            lines = Path(classes).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--classes {classes} cannot be read: {reason(error)}") from None
        return tuple(line.strip() for line in lines if line.strip())
    return tuple(name.strip() for name in classes.split(","))


def class_order(outputs: tuple[str, ...], classes: tuple[str, ...], name: str, from_option: bool) -> Tensor:
    """Return the output for each class of the data, matched by name."""
    if sorted(outputs) != sorted(classes):
        missing = [c for c in classes if c not in outputs]
        unknown = [o for o in outputs if o not in classes]
        differences = [
            f"only {owner} has {', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
            for owner, names in (("the data", missing), ("--classes" if from_option else name, unknown))
            if names
        ]
        advice = (
            "name each class of the data once"
            if from_option
            else "give --classes with the data's names in the order of the outputs; for a class without images, "
            "make an empty folder"
        )
        raise UserError(f"the classes differ: {', '.join(differences) or 'a name is repeated'}; {advice}")
    return torch.tensor([outputs.index(c) for c in classes])
