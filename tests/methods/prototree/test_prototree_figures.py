"""The figures of ProtoTree: the positions of their items, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from figure_checks import texts
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.data import ArraySource
from resemblance.explain.prototype_view import PrototypeView
from resemblance.methods.paper_figures import FigureInputs
from resemblance.methods.prototree.figures import figures, layout, leaf_shares, tree_figure
from resemblance.methods.prototree.tree import Tree
from resemblance.methods.registry import build


def items(item):
    return [item, *(part for child in item.children for part in items(child))]


def test_leaves_have_rows_with_the_present_branch_above():
    drawn = items(layout(Tree.complete(2), np.full(4, 0.25)))
    rows = {(item.kind, item.number): item.row for item in drawn}
    assert [rows["leaf", number] for number in range(4)] == [3, 2, 1, 0]
    assert (rows["node", 2], rows["node", 1], rows["node", 0]) == (0.5, 2.5, 1.5)


def test_rarely_used_branches_are_cut_and_counted():
    shares = np.array([0.4, 0.3, 0.2, 0.04, 0.02, 0.02, 0.01, 0.01])
    drawn = items(layout(Tree.complete(3), shares, limit=3))
    cut = [item for item in drawn if item.kind == "cut"]
    assert [(item.leaves, round(item.share, 2)) for item in cut] == [(4, 0.06)]
    assert sum(item.leaves for item in drawn if item.kind != "node") == 8
    figure = tree_figure(
        Tree.complete(3),
        [PrototypeView(index) for index in range(7)],
        np.eye(8)[:, :3] + 0.1,
        shares,
        ("cat", "dog", "cow"),
        limit=3,
    )
    assert any("+ 4 leaves" in text for text in texts(figure))
    assert any("4 are left out" in text for text in texts(figure))


@pytest.mark.parametrize(("classes", "channels"), [(2, 1), pytest.param(300, 3, marks=pytest.mark.slow)])
def test_the_figures_of_a_model(classes, channels):
    """Nothing is written outside the figure, however many classes there are."""
    image = ImageSpec(16, 24, channels, (0.5,) * channels, (0.25,) * channels)
    spec = ModelSpec(tuple(f"a class with a rather long name {c}" for c in range(classes)), image)
    torch.manual_seed(0)
    model = build("prototree", {"encoder": "small", "prototype_depth": 8}, spec).eval()
    model.counts.copy_(torch.rand(model.counts.shape) ** 8 * 4)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 16, 24, channels), dtype=np.uint8)
    source = ArraySource(pixels, np.arange(4) % classes, spec.classes)
    by_title = figures(model, FigureInputs(torch.zeros(0), torch.zeros(0), source))
    assert list(by_title) == ["The tree", "The path of an image through the tree"]
    for drawn in by_title.values():
        canvas = FigureCanvasAgg(drawn.figure)
        canvas.draw()
        width, height = canvas.get_width_height()
        assert height < 8000
        for text in drawn.figure.texts:
            box = text.get_window_extent()
            assert box.x0 >= 0
            assert box.x1 <= width, text.get_text()
            assert box.y0 >= 0
            assert box.y1 <= height


def test_shares_follow_the_counts():
    image = ImageSpec(16, 16, 1, (0.5,), (0.25,))
    spec = ModelSpec(("a", "b"), image)
    model = build("prototree", {"encoder": "small", "depth": 1}, spec)
    assert leaf_shares(model).tolist() == [0.5, 0.5]
    model.counts.copy_(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
    assert leaf_shares(model).tolist() == [0.75, 0.25]
