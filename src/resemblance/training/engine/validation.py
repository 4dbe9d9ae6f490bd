"""Accuracy and loss on the validation images."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.distributed as dist
from lightning.fabric.utilities.apply_func import move_data_to_device
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.core.distributed import alone, world
from resemblance.core.reference_counts import ReferenceCounts
from resemblance.data.batch import Batch, EncodedBatch
from resemblance.training.cached.cached_outputs import CachedBatch, compute_output


@dataclass(frozen=True)
class Score:
    """The accuracy and the loss of a model on a set of images.

    Args:
        accuracy: share of images classified correctly.
        loss: mean training loss, without augmentation; decides between equal accuracies.

    Example:
        >>> Score(0.9, 0.5).beats(None), Score(0.9, 0.5).beats(Score(0.9, 0.4))
        (True, False)
    """

    accuracy: float
    loss: float

    def beats(self, other: Score | None) -> bool:
        """Check whether the accuracy is higher, or equal with a smaller loss."""
        return other is None or (self.accuracy, -self.loss) > (other.accuracy, -other.loss)

    def clearly_beats(self, other: Score | None, images: int) -> bool:
        """Check whether the accuracy is higher by more than a standard error of the difference.

        The difference of the numbers of correct images has a variance of at most the sum of the errors of both.

        Args:
            other: another model's score.
            images: the number of images of both.

        Example:
            >>> Score(30 / 30, 0.1).clearly_beats(Score(29 / 30, 0.2), 30)
            False
            >>> Score(29 / 30, 0.1).clearly_beats(Score(26 / 30, 0.2), 30)
            True
        """
        if other is None:
            return True
        gain, errors = self.accuracy - other.accuracy, 2 - self.accuracy - other.accuracy
        return gain * images > math.sqrt(errors * images) + 1e-9  # the rounding of shares decides no tie

    def row(self) -> dict[str, float]:
        """Return the columns of the history."""
        return {"val/accuracy": self.accuracy, "val/loss": self.loss}


def autocast(precision: str, device: torch.device) -> AbstractContextManager[None]:
    """Return the autocast context in which a model of this precision runs."""
    if precision == "32-true":
        return nullcontext()
    dtype = torch.bfloat16 if precision == "bf16-mixed" else torch.float16
    return torch.autocast(device.type, dtype=dtype)


@torch.no_grad()
def validate(
    model: Classifier,
    batches: Iterable[Batch | EncodedBatch | CachedBatch],
    device: torch.device,
    context: AbstractContextManager[None] | None = None,
    reference: ReferenceCounts | None = None,
    class_weights: Tensor | None = None,
) -> Score:
    """Measure a model in evaluation mode; with several processes, over the batches of all of them.

    Args:
        model: left in evaluation mode.
        batches: images (B, C, H, W) in [0, 1], or what was computed for them, and labels (B,).
        device: the model's device.
        context: entered while the model runs, for autocast.
        reference: collects the reference of the model's similarities in the same pass.
        class_weights: (C,) by which each image counts in the accuracy; balanced ones make it the mean recall.

    Raises:
        UserError: if the loss, or a score by which epochs are selected, is infinite or NaN.
    """
    model.eval()
    totals = torch.zeros(4, dtype=torch.float64, device="cpu" if device.type == "mps" else device)
    with alone(), context or nullcontext():
        for batch in batches:
            batch = move_data_to_device(batch, device)
            output, labels = compute_output(model, batch), batch.labels
            loss = torch.stack([term.float() for term in model.loss(output, labels).values()]).sum()
            scores = model.selection_scores(output)
            right = scores.argmax(dim=1) == labels
            correct = right.sum() if class_weights is None else class_weights[labels.cpu()][right.cpu()].sum()
            if reference is not None:
                reference.add(output, labels)
            broken = (~(output.finite & scores.isfinite().all(dim=1))).sum()
            count = torch.full_like(loss, len(labels))
            totals += torch.stack([correct.to(loss), loss * count, count, broken.float()]).to(totals)
    if world() > 1:
        dist.all_reduce(totals)
    correct_images, total_loss, images, broken_images = totals.tolist()
    if broken_images or not math.isfinite(total_loss):
        what = (
            f"scores of {broken_images:.0f} validation images are" if broken_images else "validation loss is"
        )
        raise UserError(
            f"the {what} infinite or NaN: training has diverged; try a smaller learning rate, another --seed or "
            "--precision 32-true"
        )
    return Score(correct_images / max(images, 1.0), total_loss / max(images, 1.0))
