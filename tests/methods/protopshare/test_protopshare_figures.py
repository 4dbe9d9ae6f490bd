"""ProtoPShare's figures, for few and many classes and prototypes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from figure_checks import drawn, texts
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.data import ArraySource
from resemblance.drawing.sharing import pairs_figure, sharing_figure
from resemblance.methods.paper_figures import FigureInputs
from resemblance.methods.protopshare.figures import figures, merged_figure
from resemblance.methods.registry import build
from resemblance.training.ends import actions
from resemblance.training.ends.gallery import build_gallery


def member(prototype, *classes):
    return {"prototype": prototype, "classes": list(classes), "box": [1, 2, 5, 6]}


def test_merged_prototypes_are_drawn_in_a_row_with_their_members():
    picture = np.zeros((8, 9, 3), np.uint8)
    members = [[(member(0, "ant"), picture)], [(member(1, "ant"), picture), (member(7, "$b_1$"), None)]]
    figure = merged_figure([("ant", picture, None), ("ant, $b_1$", picture, (0, 0, 4, 4))], members)
    shown = texts(figure)
    assert "1 prototype absorbed 1 other" in shown
    assert {"7", "$b_1$", "ant, $b_1$", "no picture"} <= set(shown)
    assert len(figure.axes[0].images) == 2
    assert drawn(figure)
    assert "No prototype was merged into another." in texts(merged_figure([("ant", None, None)], members[:1]))


def test_of_many_merged_prototypes_the_rest_is_counted():
    members = [[(member(p, "a"), None) for p in range(2 + j % 15)] for j in range(50)]
    figure = merged_figure([("a", None, None)] * 50, members)
    shown = texts(figure)
    assert any(
        "50 prototypes absorbed" in text and "the 20 that absorbed the most are shown" in text
        for text in shown
    )
    assert "and 8\nmore" in shown  # 8 of 16 members are drawn
    assert max(figure.get_size_inches()) < 40


def test_sharing_counts_the_classes_of_prototypes():
    owners = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 0]], dtype=bool)
    assert [text.get_text() for text in sharing_figure(owners).axes[0].texts] == ["3", "2"]
    assert drawn(sharing_figure(np.ones((4, 300), dtype=bool)))


def test_the_matrix_counts_shared_prototypes_and_shows_at_most_40_classes():
    owners = np.array([[1, 1, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]], dtype=bool)
    figure = pairs_figure(owners, ["ant", "bee", "$c$"])
    at = {text.get_text(): text.get_position() for text in figure.axes[0].texts[:3]}
    x = {name: text.get_position()[0] for name, text in zip(at, figure.axes[0].texts[3:6], strict=True)}
    numbers = [
        (*text.get_position(), text.get_text()) for text in figure.axes[0].texts if text.get_text().isdigit()
    ]
    pairs = [("ant", "bee", "2"), ("bee", "ant", "2"), ("bee", "$c$", "1"), ("$c$", "bee", "1")]
    assert numbers == [(x[b], at[a][1], n) for a, b, n in pairs]
    owners = np.zeros((10, 300), dtype=bool)
    owners[:, [5, 299]] = True
    figure = pairs_figure(owners, [f"class {c}" for c in range(300)])
    assert any("40 classes that share most, of 300" in text for text in texts(figure))
    names = [text for text in texts(figure) if text.startswith("class ")]
    assert {"class 5", "class 299"} <= set(names)
    assert len(names) == 40 * 2
    assert drawn(figure)


@pytest.mark.parametrize("channels", [1, 3])
def test_all_figures_of_a_model(channels):
    torch.manual_seed(0)
    spec = ModelSpec(("cat", "dog"), ImageSpec(28, 28, channels, (0.5,) * channels, (0.5,) * channels))
    model = build("protopshare", {"encoder": "small", "prototypes_per_class": 4, "keep": 3}, spec).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (6, 28, 28, channels), dtype=np.uint8)
    source = ArraySource(pixels, np.arange(6) % 2, spec.classes)
    nothing = FigureInputs(torch.zeros(0), torch.zeros(0), source)
    assert list(figures(model, nothing)) == [
        "Prototypes by the number of their classes",
        "Classes that share prototypes",
    ]
    for name in ("project", "merge"):
        actions.run(name, model, actions.ActionContext(source))
    model.gallery = build_gallery(model, source)
    by_title = figures(model, FigureInputs(torch.zeros(0), torch.zeros(0), source, (), source))
    assert len(by_title) == 3
    assert all(drawn(part.figure) for part in by_title.values())
    assert "no picture" not in texts(by_title["Merged prototypes"].figure)

    # Pictures of other images than those that the prototypes came from would be wrong.
    class Other(ArraySource):
        def name(self, index):
            return f"other {index}"

    other = Other(pixels, np.arange(6) % 2, spec.classes)
    without_pictures = figures(model, FigureInputs(torch.zeros(0), torch.zeros(0), source, (), other))
    assert "no picture" in texts(without_pictures["Merged prototypes"].figure)

    whole = model.facts["members"]
    for members in (whole[:1], [[{}]] * len(whole), [[{**whole[0][0], "box": [1]}]] * len(whole)):
        model.facts["members"] = members
        with pytest.raises(UserError, match="facts: members"):
            figures(model, nothing)
