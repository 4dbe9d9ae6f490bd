"""Contributions, concepts and their images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from methods.senn.small_models import batch, make
from resemblance.data import ArraySource, ImageDataset, loader
from resemblance.training.ends.concepts import find_concepts, strongest
from resemblance.training.ends.usage import count_usage


def source(model, count=40, seed=0):
    generator = np.random.default_rng(seed)
    image = model.spec.image
    array = generator.integers(0, 256, (count, *image.size, image.channels), dtype=np.uint8)
    return ArraySource(array, generator.integers(0, model.spec.num_classes, count), model.spec.classes)


def test_contributions_are_concept_times_relevance():
    model = make(5, concepts=7).eval()
    images, _ = batch(model, 6)
    output = model(images)
    classes = torch.tensor([0, 4, 2, 2, 1, 3])
    evidence = model.evidence(output, classes)
    for b, c in enumerate(classes.tolist()):
        for i in range(7):
            product = output.similarities[b, i] * output.extras["theta"][b, i, c]
            assert evidence.contributions[b, i] == product
    assert evidence.bias.abs().max() == 0
    assert not model.prototypes.owners.any()
    assert (make(10, concepts=3, positive=True).eval()(images).extras["theta"] > 0).all()


@pytest.mark.parametrize("share", [0.5, 0.2, 0.0])
def test_relevances_are_dropped_in_training_only(share):
    """Dropout is before the tanh: dropped relevances are 0, and the inputs of the others are scaled up."""
    model = make(10, concepts=20, dropout=share)
    raw = torch.randn(50, 20 * 10)
    latents = torch.cat([torch.ones(50, 20), raw], dim=1)
    theta = model.train().head(latents).extras["theta"].flatten(1)
    dropped = theta == 0
    assert dropped.float().mean().item() == pytest.approx(share, abs=0.02)
    assert torch.allclose(theta[~dropped], (raw / (1 - share)).tanh()[~dropped], atol=1e-6)
    assert torch.allclose(model.eval().head(latents).extras["theta"].flatten(1), raw.tanh())


def test_concepts_are_shown_by_the_images_with_their_largest_values():
    model = make(4, concepts=5)
    images = source(model)
    batches = list(loader(ImageDataset(images, model.spec.image), 7))
    find_concepts(model, batches)
    count_usage(model, batches)
    model.eval()
    with torch.no_grad():
        output = model(torch.cat([part.images for part in batches]))
    h, labels = output.similarities, torch.from_numpy(images.labels)
    for concept in range(5):
        order = sorted(range(len(images)), key=lambda i: -float(h[i, concept]))
        assert model.prototypes.examples[concept].tolist() == order[:6]
        assert model.prototypes.source_index[concept] == order[0]
    for c in range(4):
        rows = (labels == c).nonzero().flatten()
        mean = torch.stack([h[b] * output.extras["theta"][b, :, c] for b in rows.tolist()]).mean(0)
        assert torch.allclose(model.mean_contributions[c], mean, atol=1e-5)


def test_classes_without_images_and_few_images_leave_empty_entries():
    model = make(3, concepts=4)
    array = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 1), dtype=np.uint8)
    find_concepts(
        model, loader(ImageDataset(ArraySource(array, [0, 2], model.spec.classes), model.spec.image), 2)
    )
    assert model.mean_contributions.isnan().all(1).tolist() == [False, True, False]
    assert (model.prototypes.examples[:, 2:] == -1).all()
    assert sorted(model.prototypes.examples[0, :2].tolist()) == [0, 1]


def test_ties_between_images_go_to_the_lowest_index():
    values = torch.tensor([[1.0, 5.0], [1.0, 5.0], [2.0, 0.0]])
    indices = torch.tensor([[9, 9], [3, 3], [4, 4]])
    assert strongest(values, indices, 2)[1].T.tolist() == [[4, 3], [3, 9]]


def test_training_lowers_the_loss_and_finds_examples(trained):
    model, result, _ = trained("senn")
    losses = [row["train/loss"] for row in result.history]
    assert losses[-1] < losses[0]
    assert (model.prototypes.examples >= 0).all()
    assert model.mean_contributions.isfinite().all()
