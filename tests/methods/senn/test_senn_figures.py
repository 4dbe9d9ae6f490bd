"""SENN's figures: few and many classes and concepts, grey and RGB, and images that are not the training images."""

from __future__ import annotations

import numpy as np
import torch

from figure_checks import drawn, texts
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.data import ArraySource, ImageDataset, loader
from resemblance.methods.paper_figures import FigureInputs
from resemblance.methods.registry import build
from resemblance.methods.senn.figures import figures, top_images
from resemblance.methods.senn.sheets import concept_grid, contribution_matrix, stability_figure
from resemblance.methods.senn.stability import local_stability
from resemblance.training.ends.concepts import find_concepts
from resemblance.training.ends.usage import count_usage

TITLES = [
    "Concepts",
    "What concepts do for classes",
    "Images and their reconstructions",
    "Stability of the relevances",
]


def trained(classes=3, concepts=4, channels=1, **config):
    torch.manual_seed(0)
    image = ImageSpec(16, 20, channels, (0.5,) * channels, (0.25,) * channels)
    spec = ModelSpec(tuple(f"class ${c}$" for c in range(classes)), image)
    model = build("senn", {"concepts": concepts, **config}, spec).eval()
    generator = np.random.default_rng(0)
    array = generator.integers(0, 256, (30, 16, 20, channels), dtype=np.uint8)
    source = ArraySource(array, np.arange(30) % min(classes, 7), spec.classes)
    batches = list(loader(ImageDataset(source, image), 16))
    find_concepts(model, batches)
    count_usage(model, batches)
    return model, source, batches[0]


def test_all_figures_of_few_and_of_many():
    for settings in ({}, {"classes": 300, "concepts": 42, "channels": 3}):
        model, source, batch = trained(**settings)
        inputs = FigureInputs(batch.images[:3], batch.labels[:3], source, train=source)
        by_title = figures(model, inputs)
        assert list(by_title) == TITLES
        assert all(drawn(part.figure) for part in by_title.values())
    assert any("2 more concepts not shown" in text for text in texts(by_title["Concepts"].figure))
    note = texts(by_title["What concepts do for classes"].figure)[-1]
    assert "260 more classes not shown" in note
    assert "2 more concepts not shown" in note
    released, source, batch = trained(variant="released")
    part = figures(released, FigureInputs(batch.images[:2], batch.labels[:2], source))[
        "Images and their reconstructions"
    ]
    assert "not trained" in part.caption


def test_top_images_are_the_training_images_or_none():
    model, source, batch = trained()
    examples = top_images(model, source)
    assert list(examples) == [0, 1, 2, 3]
    for concept, images in examples.items():
        for rank, index in enumerate(model.prototypes.examples[concept].tolist()):
            assert torch.equal(images[rank], ImageDataset(source, model.spec.image)[index].images[0])
    other = ArraySource(source.array[::-1].copy(), source.labels, source.classes)
    assert top_images(model, other) == {}
    few = ArraySource(source.array[:3], source.labels[:3], source.classes)
    assert top_images(model, few) == {}
    by_title = figures(model, FigureInputs(batch.images[:0], batch.labels[:0], source, train=other))
    assert list(by_title) == [TITLES[1]]


def test_the_matrix_shows_means_and_gaps():
    means = np.array([[1.26, -0.04], [np.nan, np.nan], [0.0, -2.0]])
    shown = texts(contribution_matrix(means, ["ant", "bee", "cow"]))
    assert {"1.3", "0.0", "−2.0"} <= set(shown)
    assert "−0.0" not in shown
    assert len([text for text in shown if text[-1:].isdigit()]) == 4 + 2  # the means, and the concepts


def test_concepts_are_labelled_with_their_class():
    grid = concept_grid({0: [np.zeros((4, 4, 3), np.uint8)]}, 3, ["most for ant: +1.3", "", ""])
    assert {"concept 0", "most for ant: +1.3"} <= set(texts(grid))
    assert any("2 more concepts not shown" in text for text in texts(grid))


def test_stability_is_the_largest_ratio_of_the_draws():
    model, _, batch = trained()
    images = batch.images[:3]
    stability = local_stability(model, images, radius=0.2, draws=20)
    assert (stability.images - images).abs().max() <= 0.2 + 1e-6
    with torch.no_grad():
        here, there = model(images), model(stability.images)
    change = (there.extras["theta"] - here.extras["theta"]).flatten(1).norm(dim=1)
    ratio = change / (there.similarities - here.similarities).norm(dim=1)
    assert torch.allclose(ratio, stability.by_concepts, rtol=1e-3)
    assert (stability.by_pixels >= change / (stability.images - images).flatten(1).norm(dim=1) - 1e-6).all()
    more = local_stability(model, images, radius=0.2, draws=40)
    assert (more.by_concepts >= stability.by_concepts).all()
    assert torch.equal(more.by_concepts, local_stability(model, images, radius=0.2, draws=40).by_concepts)
    assert drawn(stability_figure(stability, images, model.spec.classes))
