"""FLINT's figures: what they show, for few and many classes and attributes."""

from __future__ import annotations

import numpy as np
import torch

from figure_checks import drawn, texts
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.data import ArraySource, ImageDataset
from resemblance.methods.flint.figures import (
    ImageAttributes,
    Pair,
    figures,
    image_attributes,
    maximise_attributes,
    most_activating,
    relevant_pairs,
)
from resemblance.methods.flint.maximisation import Ascent
from resemblance.methods.flint.sheets import attribute_sheet, local_sheet, relevance_matrix
from resemblance.methods.paper_figures import FigureInputs, paper_figures
from resemblance.methods.registry import build


def made(classes=3, channels=1, size=(12, 10), count=24, **config):
    image = ImageSpec(*size, channels, (0.5,) * channels, (0.25,) * channels)
    torch.manual_seed(0)
    names = tuple(f"class {c}" for c in range(classes))
    model = build("flint", {"attributes": 5, **config}, ModelSpec(names, image)).eval()
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (count, *size, channels), dtype=np.uint8)
    return model, ArraySource(pixels, generator.integers(0, classes, count), names)


def test_the_most_activating_images_are_the_three_strongest_of_the_class():
    attributes = torch.tensor([[0.1], [0.9], [0.5], [0.7], [0.9], [0.3]])
    labels = torch.tensor([0, 1, 0, 0, 0, 0])
    searched = ImageAttributes(np.arange(10, 16), labels, attributes, attributes)
    assert most_activating(searched, Pair(0, 0, 1.0)) == [14, 13, 12]
    assert most_activating(searched, Pair(1, 0, 1.0)) == [11]
    assert most_activating(searched, Pair(2, 0, 1.0)) == []


def test_pairs_are_above_the_threshold_and_classes_take_turns():
    relevance = torch.tensor([[0.5, 0.9, 0.4], [0.1, -0.9, 0.2], [0.05, 0.0, 0.0]])
    pairs = [(pair.cls, pair.attribute) for pair in relevant_pairs(relevance, 0.1, 10)]
    assert pairs == [(0, 1), (0, 0), (0, 2), (1, 2)]
    pairs = [(pair.cls, pair.attribute) for pair in relevant_pairs(relevance, 0.1, 2)]
    assert pairs == [(0, 1), (1, 2)]


def test_the_matrix_frames_pairs_above_the_threshold_and_counts_what_is_left_out():
    relevance = torch.tensor([[0.5, -0.9, 0.05], [0.0, 0.2, 0.0]])
    figure = relevance_matrix(relevance, ["ant", "$x_1$"], 0.1)
    at = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    frames = {tuple(patch.get_center().round(3)) for patch in figure.axes[0].patches}
    assert frames == {
        (round(at[j][0], 3), round(at[name][1], 3)) for j, name in (("0", "ant"), ("1", "$x_1$"))
    }
    assert {"ant", "$x_1$", "framed: above 0.1"} <= set(texts(figure))
    assert drawn(figure)
    many = relevance_matrix(torch.rand(300, 2000), [f"class {c}" for c in range(300)], 0.1)
    assert max(many.get_size_inches()) < 25
    assert "270 more classes not shown · 1940 more attributes not shown" in " ".join(texts(many))
    assert drawn(many)


def test_sheets_can_draw_long_names_and_missing_pictures():
    picture = np.zeros((8, 6, 3), np.uint8)
    rows = [(f"{'long ' * 20}{i}\nattribute {i}", 0.5, [picture] * (i % 4), picture) for i in range(9)]
    assert drawn(attribute_sheet(rows, "3 more pairs"))
    assert drawn(local_sheet([("predicted: " + "x" * 60, picture, []), ("b", picture, [(3, 1.0, picture)])]))


def test_all_figures_of_a_model():
    model, source = made()
    model.relevance.copy_(torch.tensor([[0.9, 0, 0, 0, 0], [0.3, 0.8, 0, 0, 0], [0, 0, 0, 0, 0.2]]))
    batch = ImageDataset(source, model.spec.image).__getitems__([0, 1])
    by_title = figures(model, FigureInputs(batch.images, batch.labels, source))
    titles = [
        "Relevance of attributes to classes",
        "What the attributes are",
        "Local explanations",
        "Conciseness",
    ]
    assert list(by_title) == titles
    assert all(drawn(one.figure) for one in by_title.values())
    shown = " ".join(texts(by_title[titles[1]].figure))
    assert all(text in shown for text in ("class 1", "attribute 1", "relevance 0.80", "strongest in"))
    assert "60 steps of the paper's 600" in by_title[titles[1]].caption
    assert len(paper_figures(model, FigureInputs(batch.images, batch.labels, source))) == 4


def test_figures_without_relevance_and_with_colours():
    model, source = made(2, 3, encoder="small")
    batch = ImageDataset(source, model.spec.image).__getitems__([0])
    by_title = figures(model, FigureInputs(batch.images, batch.labels, source))
    assert "What the attributes are" not in by_title  # no attribute is relevant
    assert "20 steps of the paper's 600" in by_title["Local explanations"].caption
    assert all(drawn(one.figure) for one in by_title.values())


def test_attributes_of_images_are_in_the_order_of_the_source():
    model, source = made(count=70)
    searched = image_attributes(model, source)
    assert searched.indices.tolist() == list(range(70))
    images = ImageDataset(source, model.spec.image).__getitems__(list(range(70))).images
    with torch.no_grad():
        output = model(images)
        evidence = model.evidence(output, output.scores.argmax(1))
    assert torch.allclose(searched.attributes, output.similarities, atol=1e-6)
    assert torch.allclose(searched.contributions, evidence.contributions, atol=1e-6)


def test_maximised_images_have_larger_attributes():
    model, source = made(2, encoder="small")
    images = ImageDataset(source, model.spec.image).__getitems__([0, 1]).images
    active = model(images).similarities.sum(0).argmax().item()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ascent = Ascent(variation=0.0, start=0.4, steps=20, rounds=2, low=-3, high=3)
    changed = maximise_attributes(model, images, [active, active], ascent)
    assert 0 <= changed.min() <= changed.max() <= 1
    with torch.no_grad():
        start = model.phi(0.4 * model.inputs(images))[:, active]
        assert (model.phi(model.inputs(changed))[:, active] > start).all()
    assert all(
        torch.equal(before[name], tensor)
        for name, tensor in model.state_dict().items()
        if "source" not in name
    )
