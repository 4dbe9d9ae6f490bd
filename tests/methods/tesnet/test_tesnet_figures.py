"""TesNet's figures: for few and many classes, with pruned classes and without pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from figure_checks import drawn, texts
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.methods.paper_figures import FigureInputs, paper_figures
from resemblance.methods.registry import build
from resemblance.methods.tesnet.figures import figures
from resemblance.prototypes.gallery import Gallery, GalleryItem, Picture


def make(classes, per_class=2, channels=3):
    torch.manual_seed(0)
    image = ImageSpec(28, 28, channels, (0.5,) * channels, (0.5,) * channels)
    names = tuple(f"$bird_{c}$" for c in range(classes))
    config = {"encoder": "small", "prototypes_per_class": per_class, "prototype_depth": 8}
    return build("tesnet", config, ModelSpec(names, image))


def pictures(model):
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28, 3), dtype=np.uint8)
    item = GalleryItem("training image", "a.png", (3, 5, 20, 12), Picture.from_pixels(pixels))
    return Gallery([item] * len(model.prototypes))


def test_the_numbers_are_the_cosines_and_the_distances():
    model = make(2)
    with torch.no_grad():
        vectors = torch.zeros(4, 8)
        vectors[0, 0], vectors[1, :2], vectors[2, 2], vectors[3, 3] = 3, torch.tensor([0.6, 0.8]), 1, 5
        model.prototypes.vectors.copy_(vectors.reshape(4, 8, 1, 1))
    by_title = figures(model)
    basis, subspaces = by_title["Basis concepts"], by_title["Subspaces"]
    assert texts(basis.figure).count("0.60") == 2  # independent of the concepts' lengths
    assert texts(basis.figure).count("0.00") == 2
    assert "the mean is 0.30" in basis.caption
    # ‖G_a‖² = 1 + 1 + 2 · 0.36, ‖G_b‖² = 2, and nothing in common
    assert texts(subspaces.figure).count(f"{np.sqrt(4.72):.2f}") == 2
    assert "$bird_1$" in texts(subspaces.figure)
    assert drawn(basis.figure)
    assert drawn(subspaces.figure)


@pytest.mark.parametrize(("classes", "per_class"), [(300, 1), (41, 12), (4, 1)])
def test_captions_say_how_many_are_left_out(classes, per_class):
    model = make(classes, per_class)
    model.gallery = pictures(model)
    by_title = figures(model)
    for part in by_title.values():
        assert max(part.figure.get_size_inches()) < 20
        assert drawn(part.figure)
    if classes > 40:
        assert f"{classes - 4} more classes not shown" in by_title["Basis concepts"].caption
        rest = classes - 40
        assert f"{rest} more class{'es' * (rest > 1)} not shown" in by_title["Subspaces"].caption
        assert ("2 more concepts not shown" in by_title["Basis concepts"].caption) == (per_class == 12)
    else:
        assert "not shown" not in "".join(part.caption for part in by_title.values())


def test_pruned_classes_are_left_out():
    model = make(3)
    model.keep(torch.tensor([0, 1, 5]))
    by_title = figures(model)
    assert "$bird_1$" not in texts(by_title["Subspaces"].figure)
    assert drawn(by_title["Basis concepts"].figure)
    model.keep(torch.tensor([0]))
    assert list(figures(model)) == ["Basis concepts"]


def test_the_report_draws_them():
    model = make(2)
    inputs = FigureInputs(torch.rand(0, 3, 28, 28), torch.zeros(0), None)
    assert list(paper_figures(model, inputs)) == ["Basis concepts", "Subspaces"]
