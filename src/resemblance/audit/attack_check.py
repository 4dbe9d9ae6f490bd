"""The base of checks that attack correctly classified images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from resemblance.audit.attack_rates import joined
from resemblance.audit.audit_check import Check, Record
from resemblance.audit.audited import no_correct_image
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.batch import Batch
from resemblance.metrics.suite.model_subject import no_gradient, no_prototypes
from resemblance.training.attacks.noise import ImageNoise
from resemblance.training.attacks.pgd import Attacked, Objective, pgd

NOISE = "uniform noise of the same size"


class AttackCheck(Check):
    """Attacks correctly classified images, batch by batch; uniform noise of the same size stands beside each attack."""

    needs: ClassVar[tuple[Callable[[Any], str | None], ...]] = (no_prototypes, no_gradient, no_correct_image)

    @property
    def model(self) -> PrototypeModel:
        """The model, which has prototypes."""
        assert isinstance(self.subject.model, PrototypeModel)
        return self.subject.model

    @property
    def grey_levels(self) -> str:
        """The largest change of a pixel in words."""
        return f"{255 * self.subject.settings.eps:.3g} of 255 grey levels"

    def parts(self) -> int:
        """Return the number of batches of attacked images."""
        return len(self.subject.attacked_parts())

    def attacked(self, part: int) -> Batch:
        """Read a batch of images to attack."""
        return self.subject.read(self.subject.attacked_parts()[part])

    def attack(self, objective: Objective, images: Tensor, indices: Tensor) -> Attacked:
        """Raise an objective by PGD of the size that the settings say.

        Args:
            objective: images (n, C, H, W) → (n,).
            images: (n, C, H, W) in [0, 1].
            indices: (n,) numbers of the images, on which the random starts depend.
        """
        settings = self.subject.settings
        return pgd(
            objective,
            images,
            eps=settings.eps,
            step=settings.step,
            steps=settings.steps,
            start=ImageNoise(settings.seed, indices),
        )

    def noisy(self, images: Tensor, indices: Tensor, number: int, mask: Tensor | None = None) -> Tensor:
        """Return images with uniform noise of the size of an attack in its place.

        Args:
            images: (n, C, H, W) in [0, 1].
            indices: (n,) numbers of the images, on which the noise depends.
            number: tells several draws for an image apart.
            mask: (n, 1, H, W) bool, the pixels that may change; by default all.
        """
        settings = self.subject.settings
        noise = ImageNoise(settings.seed, indices).uniform(images, settings.eps, number)
        changed = (images + noise).clamp(0, 1)
        return changed if mask is None else torch.where(mask, changed, images)


def blind_notes(records: Sequence[Record]) -> list[str]:
    """Return a note about attacks without a gradient, if there were any: ``blind`` of all parts.

    Example:
        >>> blind_notes([{"blind": torch.tensor([True, False])}, {"blind": torch.tensor([2])}])
        ['3 attacks found no gradient; for these the check says nothing.']
    """
    blind = int(joined(records, "blind").sum())
    return [f"{blind} attacks found no gradient; for these the check says nothing."] if blind else []
