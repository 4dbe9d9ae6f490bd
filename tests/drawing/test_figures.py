from __future__ import annotations

import warnings
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.text import Text

from figure_checks import bars_of
from resemblance.drawing.canvas import canvas
from resemblance.drawing.heat import heat_layer, overlay, rescaled
from resemblance.drawing.latent_figure import class_colors, latent_figure
from resemblance.drawing.style import AGAINST, FOR, plain, png
from resemblance.explain.explain import explain
from resemblance.explain.figure.explanation_figure import explanation_figure
from resemblance.explain.prototype_view import PrototypeView, prototype_views
from resemblance.methods.paper_figures import FigureInputs, paper_figures
from resemblance.methods.registry import method_configs
from resemblance.printing.characters import printable
from resemblance.report.confusion_figure import confusion_figure
from resemblance.report.gallery_figure import by_class, gallery_figure
from toy_model import Ballot, Distances, Nearest, Toy

MATHEMATICS = "$\\frac{a}{$ _^\u202e" + "x" * 300
HOSTILE = "\n\x1b[31m\x9b\udcff" + MATHEMATICS


@pytest.fixture
def image():
    return torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", [Toy, Nearest, Distances, Ballot])
@pytest.mark.parametrize("options", [{}, {"label": 2}, {"top": 1}, {"classes": [0, 1, 2], "top": 2}])
def test_explanations_of_all_kinds_are_drawn(kind, options, image):
    figure = explain(kind(), image, **options).plot()
    assert png(figure).startswith(b"\x89PNG")


def test_nothing_of_an_explanation_lies_outside_the_figure(image):
    figure = explanation_figure(explain(Toy(), image, label=2))
    figure.canvas.draw()
    width, height = figure.bbox.size
    drawn = canvas(figure)
    for item in [*figure.texts, *drawn.patches, *drawn.images, *drawn.lines, *drawn.texts]:
        box = item.get_window_extent()
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= width + 1
        assert box.y1 <= height + 1


def test_bars_for_and_against_have_their_colours(image):
    explanation = explain(Toy(), image, top=None, classes=["cat"])
    figure = explanation_figure(explanation)
    drawn = [(bar.get_width(), to_hex(bar.get_facecolor())) for bar in bars_of(figure)]
    values = [reason.contribution for reason in explanation.reasons] + [explanation.bias]
    assert min(values) < 0 < max(values)
    inch = drawn[0][0] / values[0]  # of a unit
    assert [width for width, _ in drawn] == pytest.approx([inch * value for value in values])
    assert [color for _, color in drawn] == [FOR if value > 0 else AGAINST for value in values]


def test_names_are_never_read_as_mathematics(image):
    model = Toy(classes=(MATHEMATICS, "b", "c"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png(explain(model, image, name=HOSTILE).plot())
        png(gallery_figure(prototype_views(model), model.spec.classes, title=HOSTILE))
        png(confusion_figure(np.eye(3, dtype=int), model.spec.classes, HOSTILE))
        points = np.random.default_rng(0).normal(size=(20, 2))
        png(
            latent_figure(
                points, np.arange(20) % 3, points[:3], np.arange(3), model.spec.classes, title=HOSTILE
            )
        )


def test_text_is_shortened_in_the_middle():
    assert plain("a" * 50, 11) == "aaaaa…aaaaa"
    assert plain(HOSTILE, 400).startswith(r"\n\x1b[31m\x9b\udcff$\frac{a}{$ _^\u202exx")


def test_no_text_of_a_figure_moves_or_reorders_what_is_drawn(image):
    name = "a\n\x1b[31m\x9b\u202eb"
    model = Toy(classes=("a\u202eb", "b", "c"))
    points = np.random.default_rng(0).normal(size=(20, 2))
    labels = np.arange(20) % 3
    classes = model.spec.classes
    figures = [
        explain(model, image, name=name, label=0).plot(),
        gallery_figure(prototype_views(model), classes, title=name),
        confusion_figure(np.eye(3, dtype=int), classes, name),
        latent_figure(points, labels, points[:3], np.arange(3), classes, title=name),
    ]
    for figure in figures:
        texts = [item.get_text() for item in figure.findobj(Text)]
        assert any(r"\u202e" in text for text in texts)
        assert all(printable(text, lines=True) == text for text in texts)


def test_colours_follow_the_map():
    ramp = np.linspace(0, 1, 50, dtype=np.float32)[None]
    layer = heat_layer(ramp).astype(float)
    brightness = layer[0, :, :3] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(brightness) >= -1).all()  # rises evenly, as JET does not
    assert (np.diff(layer[0, :, 3]) >= 0).all()


def test_the_papers_overlay():
    image = np.full((2, 2, 3), 200, np.uint8)
    heat = np.array([[0, 1], [1, 0]], np.float32)
    painted = overlay(image, heat, paper=True)
    np.testing.assert_array_equal(painted[0, 0], [100, 100, 100 + round(0.3 * 127.5)])
    assert painted[0, 1, 0] == 100 + round(0.3 * 127.5)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_flat_and_broken_maps_have_no_colour_differences(value):
    assert not rescaled(np.full((3, 3), value, np.float32)).any()


def test_prototypes_by_class():
    views = [
        PrototypeView(0, ("a",), activations=1),
        PrototypeView(1, ("a", "b"), activations=3),
        PrototypeView(2, (), activations=0),
    ]
    groups = by_class(views, ["a", "b", "c"])
    assert {name: [view.index for view in group] for name, group in groups.items()} == {
        "a": [1, 0],
        "b": [1],
        "c": [],
        "no class": [2],
    }


def test_galleries_mark_unused_prototypes():
    views = [PrototypeView(0, ("a",), activations=0, importance=0.0), PrototypeView(1, ("a",), activations=4)]
    figure = gallery_figure(views, ["a", "b"])
    assert "unused" in [text.get_text() for text in figure.axes[0].texts]


def test_large_galleries_say_how_many_prototypes_are_left_out():
    views = [PrototypeView(i, ("a",), activations=i, importance=i / 1e6) for i in range(405)]
    figure = gallery_figure(views, ["a"])
    assert any("5 less used prototypes are not drawn" in text.get_text() for text in figure.texts)


@pytest.mark.parametrize("classes", [2, 12, 60])
def test_confusion_matrices_of_all_sizes(classes):
    names = [f"class {i}" for i in range(classes)]
    assert png(confusion_figure(np.eye(classes, dtype=int), names, "Test")).startswith(b"\x89PNG")


@pytest.mark.parametrize("count", [1, 10, 11, 100, 300])
def test_colours_are_distinct(count):
    assert len(set(class_colors(count))) == count


@pytest.mark.parametrize("classes", [2, 40])
@pytest.mark.parametrize("importance", [None, np.array([0.5, 0.0, np.nan, 0.1])])
def test_latent_spaces(classes, importance):
    rng = np.random.default_rng(0)
    points, prototypes = rng.normal(size=(80, 2)), rng.normal(size=(4, 2))
    pictures = [np.zeros((8, 8, 3), np.uint8), None, np.zeros((9, 5, 3), np.uint8), None]
    names = [f"class {i}" for i in range(classes)]
    figure = latent_figure(
        points, np.arange(80) % classes, prototypes, np.array([0, 1, -1, 0]), names, importance, pictures
    )
    assert png(figure).startswith(b"\x89PNG")
    shown = [text.get_text() for text in figure.texts if text.get_text().startswith("class")]
    assert len(shown) == min(classes, 20)


def test_only_methods_of_the_library_have_figures_by_their_name():
    model = Toy()
    model.name = "page"  # a module of the report that is not a method
    inputs = FigureInputs(torch.rand(0, 3, 16, 16), torch.zeros(0), None)
    assert paper_figures(model, inputs) == {}
    drawn = {name for name in method_configs() if find_spec(f"resemblance.methods.{name}.figures")}
    assert {"flint", "senn", "tesnet"} <= drawn
    assert all(hasattr(import_module(f"resemblance.methods.{name}.figures"), "figures") for name in drawn)
