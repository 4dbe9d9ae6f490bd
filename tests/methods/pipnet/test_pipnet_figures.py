"""PIP-Net's figures: few and many classes and prototypes, grey and RGB, and images that are not the training images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from figure_checks import drawn, texts
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.data import ArraySource, ImageDataset, loader
from resemblance.methods.paper_figures import FigureInputs
from resemblance.methods.pipnet.figures import figures, sizes_figure, top_patches
from resemblance.methods.registry import build
from resemblance.training.ends.actions import ActionContext, run
from resemblance.training.ends.gallery import build_gallery


def trained(classes=3, prototypes=8, channels=1, size=28, sharpness=6):
    """Make a model whose patches have one prototype each and whose weights are sparse."""
    torch.manual_seed(0)
    image = ImageSpec(size, size, channels, (0.5,) * channels, (0.25,) * channels)
    spec = ModelSpec(tuple(f"class ${c}$" for c in range(classes)), image)
    model = build("pipnet", {"encoder": "small", "prototypes": prototypes}, spec).eval()
    with torch.no_grad():
        model.addon.weight *= sharpness
        model.last.weight.sub_(1.05)
    pixels = np.random.default_rng(0).integers(0, 256, (30, size, size, channels), dtype=np.uint8)
    source = ArraySource(pixels, np.arange(30) % min(classes, 7), spec.classes)
    for action in ("concepts", "assign", "usage"):
        run(action, model, ActionContext(source))
    model.gallery = build_gallery(model, source)
    batch = ImageDataset(source, image).__getitems__(list(range(4)))
    return model, FigureInputs(batch.images, batch.labels, source, train=source)


def test_all_figures_agree_with_the_model():
    model, inputs = trained()
    by_title = figures(model, inputs)
    assert list(by_title) == ["Prototypes", "Scoring sheet", "How many prototypes decide"]
    assert all(drawn(part.figure) for part in by_title.values())
    weights = model.weights().detach()
    sheet = texts(by_title["Scoring sheet"].figure)
    heaviest = int(weights[1].argmax())
    assert f"{weights[1].max():.2f} × prototype {heaviest}" in sheet
    assert sum("× prototype" in text for text in sheet) == int((weights > 1e-3).sum())
    zero = 100 * (weights <= 1e-3).float().mean()
    assert (
        f"{len(model.prototypes)} prototypes; {zero:.1f} % of the weights are zero"
        in by_title["Scoring sheet"].caption
    )
    output = model(torch.from_numpy(inputs.source.array.transpose(0, 3, 1, 2)).float() / 255)
    contributions = model.evidence(output, output.scores.argmax(1)).contributions
    mean = (contributions > 1e-3).sum(1).float().mean()
    caption = by_title["How many prototypes decide"].caption
    assert f"a prediction uses {mean:.1f}" in caption
    assert f"abstains for {int(model.abstains(output).sum())} of the images" in caption


def test_patches_are_where_the_prototype_is_most_present():
    model, inputs = trained()
    patches = top_patches(model, inputs.train, range(len(model.prototypes)))
    batches = loader(ImageDataset(inputs.train, model.spec.image), 30)
    maps = model.prototypes.maps(model.latents(next(iter(batches)).images)).flatten(2)
    for p, row_patches in patches.items():
        strengths = maps[:, p].amax(dim=1)
        best = int(strengths.argmax())
        assert len(row_patches) == min(10, int((strengths >= 0.1).sum()))
        assert np.array_equal(row_patches[0].image[:, :, 0], inputs.train.array[best, :, :, 0])
        x0, y0 = row_patches[0].box[:2]
        assert y0 // 4 * 7 + x0 // 4 == int(maps[best, p].argmax())


def test_other_images_are_not_shown_as_training_images():
    model, inputs = trained()
    other = ArraySource(255 - inputs.train.array, inputs.train.labels, model.spec.classes)
    assert top_patches(model, other, range(3)) == {}
    few = ArraySource(other.array[:2], other.labels[:2], model.spec.classes)
    assert top_patches(model, few, range(len(model.prototypes))) == {}
    by_title = figures(model, FigureInputs(inputs.images, inputs.labels, other, train=other))
    assert "Prototypes" not in by_title


@pytest.mark.parametrize(("classes", "prototypes", "channels", "size"), [(300, 50, 3, 68)])
def test_figures_say_how_many_are_left_out(classes, prototypes, channels, size):
    model, inputs = trained(classes, prototypes, channels, size, sharpness=30)
    by_title = figures(model, inputs)
    assert all(drawn(part.figure) for part in by_title.values())
    more = len(model.prototypes) - 24
    assert any(f"{more} more prototypes not shown" in text for text in texts(by_title["Prototypes"].figure))
    sheet = texts(by_title["Scoring sheet"].figure)
    assert any("294 more classes not shown" in text for text in sheet)
    assert any(text.startswith("and ") for text in sheet)


def test_prototypes_that_are_present_in_no_image_are_not_drawn():
    model, inputs = trained()
    best = model.prototypes.strengths[:, 0]
    model.config.least_presence = float(best.median()) + 1e-6
    shown = set(texts(figures(model, inputs)["Prototypes"].figure))
    for p, present in enumerate(best > best.median()):
        assert (f"prototype {p}" in shown) == present
    model.config.least_presence = 1.0
    assert "Prototypes" not in figures(model, inputs)


def test_histograms_of_nothing():
    assert drawn(sizes_figure(np.zeros(2, np.int64), np.zeros(1, np.int64)))
    assert drawn(sizes_figure(np.array([0, 700]), np.array([3, 400])))
