"""Adversarial accuracy: that of a plain loop over single images, and nothing of the model changes."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from cases import METHODS, made
from models import batch
from resemblance.training.attacks.classification import adversarial_accuracy, classification_loss
from resemblance.training.attacks.noise import ImageNoise
from unharmed import assert_unharmed, snapshot


def plain_withstands(model, image, label, index, *, eps, step, steps, seed):
    """Follow Wong et al.: an image that is misclassified is not moved any more."""

    def predict(x):
        return model(x[None]).scores

    if predict(image).argmax() != label:
        return False
    noise = ImageNoise(seed, [index]).uniform(image[None], eps)[0]
    current = (image + noise).clamp(image - eps, image + eps).clamp(0, 1)
    for _ in range(steps):
        current = current.detach().requires_grad_()
        scores = predict(current)
        if scores.argmax() != label:
            return False
        (gradient,) = torch.autograd.grad(F.cross_entropy(scores, label[None]), current)
        current = (current + step * gradient.sign()).clamp(image - eps, image + eps).clamp(0, 1)
    return bool(predict(current).argmax() == label)


def test_it_is_the_plain_loop_image_by_image():
    model = made("blackbox").double()
    model.eval()
    images, _ = batch(model, 24)
    images = images.double()
    labels = model(images).scores.argmax(dim=1)
    labels[::6] = (labels[::6] + 1) % 10
    indices = torch.arange(24) + 50
    settings = {"eps": 0.02, "step": 0.005, "steps": 6}
    withstood = adversarial_accuracy(model, images, labels, start=ImageNoise(3, indices), **settings)
    cases = zip(images, labels, indices.tolist(), strict=True)
    plain = torch.tensor([plain_withstands(model, *case, seed=3, **settings) for case in cases])
    assert 0 < withstood.sum() < 20
    assert torch.equal(withstood, plain)
    part = adversarial_accuracy(model, images[9:], labels[9:], start=ImageNoise(3, indices[9:]), **settings)
    assert torch.equal(part, withstood[9:])


def test_no_image_withstands_that_was_misclassified_before():
    model = made("blackbox").eval()
    images, _ = batch(model, 6)
    wrong = (model(images).scores.argmax(dim=1) + 1) % 10
    assert not adversarial_accuracy(model, images, wrong, steps=0, eps=0.0).any()


@pytest.mark.parametrize("method", METHODS)
def test_the_model_is_left_as_it_was(method):
    model = made(method)
    images, labels = batch(model, 3)
    sum(model.loss(model(images), labels).values()).backward()
    before = snapshot(model)
    withstood = adversarial_accuracy(model, images, labels, steps=2)
    assert withstood.dtype == torch.bool
    assert withstood.shape == (3,)
    assert_unharmed(model, before)


def test_probabilities_are_not_put_through_a_softmax():
    shares, labels = torch.tensor([[0.2, 0.8], [1.0, 0.0]]), torch.tensor([1, 1])
    loss = classification_loss(shares, labels, "probability")
    assert loss[0] == pytest.approx(-torch.tensor(0.8).log())
    assert loss.isfinite().all()
    assert torch.equal(
        classification_loss(shares, labels, "votes"), F.cross_entropy(shares, labels, reduction="none")
    )
