"""Attacks on the place of a prototype: move its best match elsewhere, or hide it.

Each pair of image and prototype has its own copy of the image. A step of the attack takes one forward and one backward
pass of all copies, and computes the maps of the attacked prototypes alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from resemblance.audit.attack_check import NOISE as ANYWHERE
from resemblance.audit.places.place_aims import Aims, PairMaps, best_matches, collected, pair_maps
from resemblance.core.prototype_model import PrototypeModel
from resemblance.training.attacks.noise import ImageNoise
from resemblance.training.attacks.pgd import Attacked, pgd

EPS, STEP, STEPS = 8 / 255, 2 / 255, 40
NOISE = f"{ANYWHERE} on the same pixels"


@dataclass(frozen=True)
class Strength:
    """The strength of an attack.

    Args:
        eps: the largest change of a pixel, in the units of [0, 1].
        step: the change per step.
        steps: the number of steps.
        seed: of the random start.
    """

    eps: float = EPS
    step: float = STEP
    steps: int = STEPS
    seed: int = 0


def move_place(
    model: PrototypeModel,
    images: Tensor,
    which: Tensor,
    aims: Aims,
    strength: Strength,
    indices: Tensor | Sequence[int] | None = None,
) -> Attacked:
    """Move the best match of prototypes to the targets by changing the pixels of these targets alone.

    Maximises the mean similarity of the target less that of the place, eq. 2 of Hoffmann et al. 2021, by PGD with a
    random start. The paper takes the last step; here it is the step with the largest objective.

    Args:
        model: in evaluation mode.
        images: (n, C, H, W) in [0, 1].
        which: (n,) int64, the prototype of each image.
        aims: of n pairs.
        strength: of the attack.
        indices: (n,) numbers of the images, on which the random starts depend; by default their places.

    Returns:
        The attacked images, and the objective before and after.
    """
    weights = [aim.weights for aim in aims]

    def objective(changed: Tensor) -> Tensor:
        maps = _maps(model, changed, which)
        parts = [(own.cells * weight).sum(dim=(1, 2)) for own, weight in zip(maps, weights, strict=True)]
        return collected(maps, parts, len(changed))

    return _attack(objective, images, aims.mask(_size(images)), strength, indices)


def hide_place(
    model: PrototypeModel,
    images: Tensor,
    which: Tensor,
    mask: Tensor,
    strength: Strength,
    indices: Tensor | Sequence[int] | None = None,
) -> Attacked:
    """Lower the largest similarity of prototypes on their maps ("head disappears" of the released code).

    Args:
        model: in evaluation mode.
        images: (n, C, H, W) in [0, 1].
        which: (n,) int64, the prototype of each image.
        mask: (n, 1, H, W) bool, the pixels that may change: those of the box of the prototype's place.
        strength: of the attack.
        indices: (n,) numbers of the images, on which the random starts depend; by default their places.

    Returns:
        The attacked images; ``before`` and ``after`` are the negative largest similarities.
    """

    def objective(changed: Tensor) -> Tensor:
        maps = _maps(model, changed, which)
        return -best_matches(maps, len(changed))

    return _attack(objective, images, mask, strength, indices)


def _attack(
    objective: Callable[[Tensor], Tensor],
    images: Tensor,
    mask: Tensor,
    strength: Strength,
    indices: Tensor | Sequence[int] | None,
) -> Attacked:
    return pgd(
        objective,
        images,
        eps=strength.eps,
        step=strength.step,
        steps=strength.steps,
        mask=mask,
        start=ImageNoise(strength.seed, indices),
    )


def _maps(model: PrototypeModel, images: Tensor, which: Tensor) -> list[PairMaps]:
    return pair_maps(model, model.latents(images), torch.arange(len(which), device=which.device), which)


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[2], images.shape[3]
