"""The attack on a prediction: what it raises, and the images whose prediction withstands it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from resemblance.core.classifier import Classifier
from resemblance.core.traits import ScoreKind
from resemblance.encoders.probe import evaluating
from resemblance.training.attacks.noise import ImageNoise
from resemblance.training.attacks.pgd import Ball, sign_step

EPS, STEP, STEPS = 8 / 255, 2 / 255, 10


def classification_loss(scores: Tensor, labels: Tensor, kind: ScoreKind) -> Tensor:
    """Compute what an attack on the prediction raises: the cross entropy of each image's scores.

    Args:
        scores: (B, C).
        labels: (B,).
        kind: the kind of the scores, a trait of the model. Probabilities, ProtoTree's, are not put through a softmax.

    Returns:
        (B,).

    Example:
        >>> classification_loss(torch.tensor([[0.25, 0.75]]).log(), torch.tensor([0]), "logit")
        tensor([1.3863])
        >>> classification_loss(torch.tensor([[0.25, 0.75]]), torch.tensor([0]), "probability")
        tensor([1.3863])
    """
    if kind == "probability":
        tiny = torch.finfo(scores.dtype).tiny  # a leaf can give a class exactly 0
        return F.nll_loss(scores.clamp_min(tiny).log(), labels, reduction="none")
    return F.cross_entropy(scores, labels, reduction="none")


def adversarial_accuracy(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    steps: int = STEPS,
    step: float = STEP,
    eps: float = EPS,
    start: ImageNoise | None = None,
) -> Tensor:
    """Return which images are classified correctly as they are, and still after PGD from a random start.

    The attack on an image ends as soon as it is misclassified. One forward pass of the batch, and one forward and one
    backward pass per step while any image is left. Source: Wong et al. 2020, ``evaluate_pgd`` of their code.

    Args:
        model: on any device; its mode, its parameters and their gradients do not change.
        images: (B, C, H, W) in [0, 1], on the model's device.
        labels: (B,).
        steps: number of steps.
        step: change of each pixel per step, in the units of [0, 1].
        eps: largest change of a pixel.
        start: draws the random start; by default with seed 0.

    Returns:
        (B,) bool; its mean is the adversarial accuracy.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.config.model import ModelSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> model = build("prototypedl", {}, spec)
        >>> adversarial_accuracy(model, torch.rand(3, 1, 28, 28), torch.tensor([0, 1, 0]), steps=1).shape
        torch.Size([3])
    """
    kind, correct = model.traits.score_kind, torch.ones_like(labels, dtype=torch.bool)

    def loss(changed: Tensor) -> Tensor:
        nonlocal correct
        scores = model(changed).scores
        correct = correct & (scores.argmax(dim=1) == labels)
        return classification_loss(scores, labels, kind)

    with evaluating(model):
        with torch.no_grad():
            loss(images)
        ball = Ball.around(images, eps)
        current = ball.nearest(images + (start or ImageNoise()).uniform(images, eps))
        for _ in range(steps):
            if not correct.any():
                return correct
            moved = sign_step(loss, current, step, ball).images
            current = torch.where(correct[:, None, None, None], moved, current)
        with torch.no_grad():
            loss(current)
    return correct
