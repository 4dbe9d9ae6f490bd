"""ProtoVAE's figures, for few and many classes and prototypes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from figure_checks import drawn, texts
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.data import ArraySource
from resemblance.drawing.decoded import distance_table
from resemblance.methods.paper_figures import FigureInputs, paper_figures
from resemblance.methods.protovae.figures import class_grid, figures, paths
from resemblance.methods.registry import build


def pictures(count, channels=1):
    return np.random.default_rng(0).integers(0, 256, (count, 6, 8, channels), dtype=np.uint8)


def test_the_grid_has_one_row_per_class_and_says_what_is_left_out():
    grid = class_grid(pictures(5), np.array([0, 0, 1, 1, 1]), ["ant", "$b$"])
    assert texts(grid) == ["ant", "$b$"]
    assert len(grid.axes[0].images) == 5
    owners = np.repeat(np.arange(300), 25)
    grid = class_grid(pictures(7500, 3), owners, [f"class {c}" for c in range(300)], rows=4)
    assert len(grid.axes[0].images) == 80
    assert "296 more classes not shown" in " ".join(texts(grid))
    assert "the first 20 prototypes of each class, of up to 25" in " ".join(texts(grid))
    assert drawn(grid)


def test_paths_end_at_the_named_prototypes():
    figure = paths([pictures(4), pictures(4)], ["ant", "$b$"])
    assert texts(figure) == ["image", "decoded", "prototype", "ant", "$b$"]
    assert len(figure.axes[0].images) == 8
    assert drawn(figure)


def test_long_names_have_a_line_of_their_own_in_the_table_of_distances():
    table = distance_table(pictures(1)[0], pictures(2), np.array([1.0, 2.0]), names=["ant", "centipede"])
    assert {"ant\n1.00", "centipede\n2.00"} <= set(texts(table))


@pytest.mark.parametrize(("classes", "channels"), [(2, 1), (45, 3)])
def test_all_figures_of_a_model(classes, channels):
    torch.manual_seed(0)
    names = tuple(f"class {c}" for c in range(classes))
    spec = ModelSpec(names, ImageSpec(16, 16, channels, (0.5,) * channels, (0.5,) * channels))
    model = build("protovae", {"latent": 4, "prototypes_per_class": 2}, spec).eval()
    source = ArraySource(np.zeros((3, 16, 16, channels), np.uint8), np.array([0, 1, 0]), names)
    images = torch.rand(3, channels, 16, 16)
    snapshots = [(0, model.snapshot()), (1, model.snapshot())]
    by_title = figures(model, FigureInputs(images, torch.tensor([0, 1, 0]), source, snapshots))
    assert list(by_title) == [
        "Prototypes, decoded",
        "Images and their reconstructions",
        "Distances of an image to the prototypes",
        "From images to their nearest prototypes",
        "Prototypes through training",
    ]
    assert all(drawn(part.figure) for part in by_title.values())
    # The paths end at the decoded prototype nearest in the latent space.
    nearest = model.prototypes.match(model.latents(images)).values.argmin(1)[0]
    last = by_title["From images to their nearest prototypes"].figure.axes[0].images[6].get_array()
    expected = (model.decode(model.prototypes.vectors[nearest][None])[0] * 255).round().byte()
    assert np.allclose(np.asarray(last).reshape(16, 16, -1), expected.permute(1, 2, 0), atol=1)
    foreign = [(0, {"prototypes": model.snapshot()["prototypes"][:0]})]
    nothing = FigureInputs(images[:0], torch.zeros(0), source, foreign)
    assert list(paper_figures(model, nothing)) == ["Prototypes, decoded"]
