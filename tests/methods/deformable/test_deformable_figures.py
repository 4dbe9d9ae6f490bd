"""Deformable ProtoPNet's figures: boxes where the parts are, many classes, colour, and no pictures."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle

from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.data import ArraySource
from resemblance.methods.deformable.figures import figures
from resemblance.methods.paper_figures import FigureInputs, paper_figures
from resemblance.methods.registry import build
from resemblance.prototypes.gallery import Gallery, GalleryItem, Picture


def make(classes, channels=3, per_class=1, parts=2):
    torch.manual_seed(0)
    image = ImageSpec(28, 28, channels, (0.5,) * channels, (0.5,) * channels)
    names = tuple(f"$bird_{c}$" for c in range(classes))
    config = {"encoder": "small", "prototypes_per_class": per_class, "parts": parts, "offset_channels": 4}
    return build("deformable", config, ModelSpec(names, image))


def pictures(model):
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28, 3), dtype=np.uint8)
    item = GalleryItem("training image", "a.png", (3, 5, 20, 12), Picture.from_pixels(pixels))
    return Gallery([item] * len(model.prototypes))


def figure_inputs(model, count=5):
    image, generator = model.spec.image, np.random.default_rng(0)
    pixels = generator.integers(0, 256, (count, 28, 28, image.channels), dtype=np.uint8)
    labels = np.arange(count) % 2
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    return FigureInputs(images, torch.from_numpy(labels), ArraySource(pixels, labels, model.spec.classes))


def texts(figure):
    return [text.get_text() for part in (figure, *figure.axes) for text in part.texts]


def drawn(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=30)
    return file.getvalue()[:4] == b"\x89PNG"


def frames(axes):
    return [patch.get_bbox().extents.tolist() for patch in axes.patches if isinstance(patch, Rectangle)]


@pytest.mark.parametrize(("classes", "channels"), [(300, 3), (2, 1)])
def test_few_and_many_classes_in_colour_and_grey(classes, channels):
    model = make(classes, channels)
    model.gallery = pictures(model)
    by_title = figures(model, figure_inputs(model))
    assert list(by_title) == ["Deformable prototypes", "One prototype in several images"]
    for part in by_title.values():
        assert max(part.figure.get_size_inches()) < 14
        assert drawn(part.figure)
    assert ("298 more classes not shown" in by_title["One prototype in several images"].caption) == (
        classes == 300
    )
    assert ("297 more prototypes" in by_title["Deformable prototypes"].caption) == (classes == 300)


def test_boxes_are_those_of_the_parts_cut_at_the_edge():
    model = make(2)
    model.gallery = pictures(model)
    with torch.no_grad():  # all windows move: rows by 3 cells of 2 pixels, columns not at all
        model.offsets[2].bias.copy_(torch.tensor([3.0, 0.0] * 4))
    inputs = figure_inputs(model)
    model.eval()
    with torch.no_grad():
        output = model(inputs.images[:1])
        row = int(model.evidence(output, output.scores.argmax(1)).contributions.argmax())
        cell = model.prototypes.match(output.latents).cells[:, row]
        size = model.spec.image.size
        shares = model.prototypes.part_boxes(output.latents, torch.tensor([0]), cell)[0]
        expected = shares * torch.tensor([size[1], size[0], size[1], size[0]])
    figure = figures(model, inputs)["Deformable prototypes"].figure
    boxes = frames(figure.axes[1])[::2]  # each is drawn twice: a dark edge, then its colour
    shown = expected.clamp(0, 28)
    shown = shown[(shown[:, 2] > shown[:, 0]) & (shown[:, 3] > shown[:, 1])]
    assert len(shown) > 0
    assert np.allclose(boxes, shown - 0.5, atol=1e-4)


def test_without_pictures_or_images():
    model = make(2, parts=3)
    by_title = figures(model, figure_inputs(model))
    assert "no picture" in texts(by_title["Deformable prototypes"].figure)
    assert figures(model, FigureInputs(torch.rand(0, 3, 28, 28), torch.zeros(0), None)) == {}


def test_the_report_draws_them():
    model = make(2)
    assert list(paper_figures(model, figure_inputs(model))) == [
        "Deformable prototypes",
        "One prototype in several images",
    ]
