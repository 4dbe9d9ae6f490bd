"""Fast adversarial training: each step trains on images that one step of an attack has changed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from resemblance.core.classifier import Classifier
from resemblance.data.batch import Batch
from resemblance.encoders.probe import evaluating
from resemblance.training.attacks.classification import classification_loss
from resemblance.training.attacks.pgd import Ball, sign_step
from resemblance.training.engine.randomness import Purpose, derive


@dataclass(frozen=True)
class FastAttack:
    """FGSM from a random start, against the model as it is at a training step.

    The images start at a random place of the L∞ ball, make one step along the sign of the gradient of the cross
    entropy, and are put back into the ball and into [0, 1]. The model is in evaluation mode meanwhile. An image's
    start depends on (seed, stage, epoch, index) alone. Source: Wong et al. 2020, algorithm 3; pixels are those before
    normalisation, so that the division by each channel's deviation happens in the model.

    Args:
        eps: largest change of a pixel, in the units of [0, 1].
        step: change of each pixel by the step.
        seed: the seed of the run.
        stage: the number of the stage in the run.

    Example:
        >>> start = FastAttack(0.1, 0.2, seed=0, stage=1).random_start(torch.zeros(2, 1, 4, 4), torch.tensor([7, 8]), 0)
        >>> start.shape, bool((start.abs() <= 0.1).all())
        (torch.Size([2, 1, 4, 4]), True)
    """

    eps: float
    step: float
    seed: int
    stage: int

    def attacked(self, model: Classifier, batch: Batch, epoch: int) -> Batch:
        """Return a batch with attacked images; the model, its mode and its gradients do not change.

        Args:
            model: in training; the scores that are attacked are those by which it selects epochs.
            batch: images in [0, 1], on the model's device.
            epoch: the epoch of the stage.
        """
        kind = model.traits.score_kind

        def loss(images: Tensor) -> Tensor:
            return classification_loss(model.selection_scores(model(images)), batch.labels, kind)

        ball = Ball.around(batch.images, self.eps)
        start = ball.nearest(batch.images + self.random_start(batch.images, batch.indices, epoch))
        with evaluating(model):
            images = sign_step(loss, start, self.step, ball).images
        return batch._replace(images=images)

    def random_start(self, images: Tensor, indices: Tensor, epoch: int) -> Tensor:
        """Return uniform noise in ±eps of the shape of the images, drawn where the images are.

        Args:
            images: (B, C, H, W).
            indices: (B,) numbers of the images.
            epoch: the epoch of the stage.
        """
        noise, generator = torch.empty_like(images), torch.Generator(images.device)
        for image, index in zip(noise, indices.tolist(), strict=True):
            seed = derive(Purpose.ATTACK, self.seed, self.stage, epoch, index) % 2**63
            image.uniform_(-self.eps, self.eps, generator=generator.manual_seed(seed))
        return noise
