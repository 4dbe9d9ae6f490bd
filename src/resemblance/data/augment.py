"""Augmentations by name: functions of the images and of one random generator per image."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.config.values import near
from resemblance.data.augmentation.elastic import elastic
from resemblance.data.augmentation.flip_crop import crop, flip, flip_and_crop
from resemblance.data.augmentation.part_copies import protopnet, tesnet
from resemblance.data.augmentation.pipnet_shapes import pipnet
from resemblance.data.augmentation.prototree_views import prototree, prototree_cars

Augment = Callable[[Tensor, Sequence[np.random.Generator]], Tensor]

AUGMENTATIONS: dict[str, Augment | None] = {
    "none": None,
    "flip": flip,
    "crop": crop,
    "flip+crop": flip_and_crop,
    "elastic": elastic,
    "protopnet": protopnet,
    "tesnet": tesnet,
    "prototree": prototree,
    "prototree-cars": prototree_cars,
    "pipnet": pipnet,
}


def get_augment(name: str) -> Augment | None:
    """Return the augmentation of that name; None for ``none``.

    Raises:
        UserError: if there is no augmentation of that name.

    Example:
        >>> import torch
        >>> get_augment("flip")(torch.rand(2, 3, 8, 8), [np.random.default_rng(i) for i in range(2)]).shape
        torch.Size([2, 3, 8, 8])
    """
    if name not in AUGMENTATIONS:
        hint = near(name, list(AUGMENTATIONS)) or f"; choose from {', '.join(AUGMENTATIONS)}"
        raise UserError(f"no augmentation {name!r}{hint}")
    return AUGMENTATIONS[name]
