"""The measure of adversarial accuracy: both accuracies, as the pure function has them."""

from __future__ import annotations

import pytest
import torch

from cases import made
from models import noise_for
from resemblance.data.dataset import ImageDataset
from resemblance.data.sources.source import Subset
from resemblance.metrics.suite.runner import measure
from resemblance.metrics.suite.subject import Settings, Subject, choose
from resemblance.training.attacks.classification import adversarial_accuracy
from resemblance.training.attacks.noise import ImageNoise

NAMES = ("accuracy", "robust-accuracy")


def own_answers(model, count=24):
    """Noise, labelled as the model classifies it but for every sixth image."""
    source = noise_for(model, count)
    with torch.no_grad():
        images = ImageDataset(source, model.spec.image).__getitems__(range(count)).images
        labels = model.eval()(images).scores.argmax(dim=1).numpy()
    labels[::6] = (labels[::6] + 1) % 10
    source.labels = labels
    return source


def test_it_is_the_share_of_the_images_that_withstand():
    model = made("blackbox").eval()
    images, order = choose(own_answers(model), None, 0)
    subject = Subject("run", model, images, Settings(batch_size=7, seed=4), order=order)
    result = measure(subject, NAMES)
    values = {value.name: value for one in result.results for value in one.values}
    batch = ImageDataset(images, model.spec.image).__getitems__(range(24))
    expected = adversarial_accuracy(model, batch.images, batch.labels, start=ImageNoise(4, order))
    assert values["robust_accuracy"].value == pytest.approx(expected.float().mean().item())
    assert values["robust_accuracy_clean"].value == pytest.approx(values["accuracy"].value)
    assert values["accuracy"].value == pytest.approx(20 / 24)
    assert values["robust_accuracy"].count == 24
    assert "83.33 % before it" in values["robust_accuracy"].says
    assert result.cost.gradients == 240
    low, high = values["robust_accuracy"].interval
    assert low <= values["robust_accuracy"].value <= high


def test_few_images_at_a_time_have_gradients(monkeypatch):
    model = made("protopnet").eval()
    subject = Subject("run", model, own_answers(model), Settings(batch_size=24, seed=4))
    names = ("robust-accuracy", "misalignment")
    whole = measure(subject, names).results
    height, width = model.spec.image.size
    monkeypatch.setattr("resemblance.metrics.suite.answers.PIXELS", 7 * height * width)
    sizes = []
    model.register_forward_hook(lambda _, images, __: sizes.append((torch.is_grad_enabled(), len(images[0]))))
    for one, parts in zip(whole, measure(subject, names).results, strict=True):
        for value, same in zip(one.values, parts.values, strict=True):
            assert same.value == pytest.approx(value.value, rel=1e-4, abs=1e-6)
    assert {size for with_gradient, size in sizes if with_gradient} == {7, 3}


def test_a_model_without_gradients_is_left_out():
    model = made("prototree", inference="greedy").eval()
    source = noise_for(model, 4)
    [left_out] = measure(Subject("run", model, Subset(source, range(4))), NAMES).left_out
    assert (left_out.measure, left_out.reason) == (
        "robust-accuracy",
        "the scores of this prototree have no gradient",
    )
