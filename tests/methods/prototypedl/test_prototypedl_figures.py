"""PrototypeDL's figures: drawn from arrays, for few and many classes and prototypes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from figure_checks import drawn, texts
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.data import ArraySource
from resemblance.data.inputs import pixels
from resemblance.drawing.decoded import distance_table, prototype_grid, reconstructions, through_training
from resemblance.methods.paper_figures import FigureInputs
from resemblance.methods.prototypedl.figures import figures, weight_table
from resemblance.methods.registry import build
from resemblance.training.watch.snapshots import due, read_snapshots, write_snapshot


def pictures(count, channels=1, size=(9, 12)):
    return np.random.default_rng(0).integers(0, 256, (count, *size, channels), dtype=np.uint8)


def test_the_weight_table_shades_the_most_negative_weight_of_each_prototype():
    weights = np.array([[1.0, -2.5, 0.25], [-3.0, -0.5, 4.0]])
    figure = weight_table(pictures(2), weights, ["ant", "bee", "$x_1$"])
    shown = texts(figure)
    assert {"ant", "bee", "$x_1$", "−2.50", "−3.00", "4.00", "0.25"} <= set(shown)
    bold = [t.get_text() for t in figure.axes[0].texts if t.get_weight() == "bold"]
    assert {"−2.50", "−3.00"} <= set(bold)
    assert "4.00" not in bold
    assert drawn(figure)


def test_a_large_weight_table_stays_within_bounds_and_says_what_is_left_out():
    weights = np.random.default_rng(1).normal(size=(60, 300))
    figure = weight_table(pictures(60, 3), weights, [f"class {c}" for c in range(300)])
    assert max(figure.get_size_inches()) < 40
    note = texts(figure)[-1]
    assert "20 more prototypes" in note
    assert "more classes" in note
    visual = weights[:40].argmin(1)
    assert {f"class {c}" for c in visual} <= set(texts(figure))
    assert drawn(figure)


def test_distances_frame_the_nearest():
    distances = np.array([4.0, 0.5, 123.4, 2.0])
    figure = distance_table(
        pictures(1)[0], pictures(4), distances, caption="a 6", names=list("abcd"), nearest=2
    )
    bold = {t.get_text() for t in figure.axes[0].texts if t.get_weight() == "bold"}
    assert bold == {"a 6", "b · 0.50", "d · 2.00"}
    assert "c · 123" in texts(figure)
    many = distance_table(pictures(1)[0], pictures(9), np.arange(9.0), limit=4)
    assert "5 farther prototypes not shown" in texts(many)[-1]


@pytest.mark.parametrize("channels", [1, 3])
def test_rows_and_grids_draw(channels):
    images = pictures(7, channels)
    assert drawn(reconstructions(images, images))
    assert drawn(prototype_grid(images))
    assert "3 · d" in texts(prototype_grid(images, list("abcdefg")))
    figure = through_training([(0, images), (1, images), (60, images)])
    assert [t for t in texts(figure) if "epoch" in t or "start" in t] == [
        "at the start",
        "epoch 1",
        "epoch 60",
    ]
    assert len(figure.axes[0].images) == 21


def test_pixels_round_and_clip():
    images = torch.tensor([[[[-1.0, 0.5, 2.0]]]])
    assert pixels(images).tolist() == [[[[0], [128], [255]]]]


def test_all_figures_of_a_model_with_its_snapshots(tmp_path):
    torch.manual_seed(0)
    spec = ModelSpec(("cat", "dog"), ImageSpec(16, 16, 3, (0.5,) * 3, (0.5,) * 3))
    model = build("prototypedl", {"prototypes": 4}, spec)
    assert read_snapshots(model, tmp_path, pytest.fail) == []
    for epoch in range(11):
        if due(epoch, 10):
            write_snapshot(model, tmp_path, epoch)
    snapshots = read_snapshots(model, tmp_path, pytest.fail)
    assert [epoch for epoch, _ in snapshots] == [0, 1, 2, 4, 8, 10]
    assert snapshots[0][1]["prototypes"].shape == (4, 16, 16, 3)
    assert not list(tmp_path.rglob("*.tmp"))
    labels = np.array([0, 1, 0])
    source = ArraySource(np.zeros((3, 16, 16, 3), np.uint8), labels, spec.classes)
    by_title = figures(
        model, FigureInputs(torch.rand(3, 3, 16, 16), torch.from_numpy(labels), source, snapshots)
    )
    assert len(by_title) == 5
    assert all(drawn(part.figure) for part in by_title.values())
    assert len(figures(model, FigureInputs(torch.rand(0, 3, 16, 16), torch.zeros(0), source))) == 2


def test_methods_without_snapshots_write_nothing(tmp_path):
    spec = ModelSpec(("cat", "dog"), ImageSpec(28, 28, 1, (0.5,), (0.5,)))
    write_snapshot(build("blackbox", {"encoder": "small"}, spec), tmp_path, 1)
    assert not list(tmp_path.iterdir())
