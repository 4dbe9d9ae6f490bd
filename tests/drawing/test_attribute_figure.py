from __future__ import annotations

import pytest

from figure_checks import drawn
from resemblance.drawing.attribute_figure import AttributePoint, attribute_figure


def lines(axes):
    """What is drawn, by name: the numbers of prototypes, and the values."""
    return {
        container.get_label(): [tuple(xy) for xy in container.lines[0].get_xydata().tolist()]
        for container in axes.containers
    }


def test_points_are_models_in_the_order_of_their_prototypes():
    points = [
        AttributePoint("KMEx", 8, 1, 9, 0.2),
        AttributePoint("KMEx", 4, 0, 7, 0.3),
        AttributePoint("FLINT", 8, 3, 5, 0.4),
    ]
    figure = attribute_figure(points, attributes=10)
    ghosted, captured, error = figure.axes
    assert lines(ghosted) == {"KMEx": [(4, 0), (8, 1)], "FLINT": [(8, 3)]}
    assert lines(captured) == {"KMEx": [(4, 7), (8, 9)], "FLINT": [(8, 5)]}
    assert lines(error) == {"KMEx": [(4, 0.3), (8, 0.2)], "FLINT": [(8, 0.4)]}
    assert captured.texts[0].get_text() == "all 10"
    assert drawn(figure)


def test_seeds_are_averaged_with_their_deviation():
    figure = attribute_figure([AttributePoint("KMEx", 4, ghosted) for ghosted in (1, 3)])
    assert lines(figure.axes[0]) == {"KMEx": [(4, 2)]}
    bars = figure.axes[0].containers[0].lines[2][0].get_segments()[0]
    assert bars.tolist() == [[4, 1], [4, 3]]


def test_unknown_values_are_left_out():
    nan = float("nan")
    figure = attribute_figure([AttributePoint("a", 4, 1, None, nan), AttributePoint("a", 8, None, None, 0.5)])
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "ghosted prototypes",
        "error of attribute correlations",
    ]
    assert lines(figure.axes[1]) == {"a": [(8, 0.5)]}
    with pytest.raises(ValueError, match="no point has a value"):
        attribute_figure([AttributePoint("a", 4)])


def test_names_are_not_mathematics():
    names = ["$\\frac{a$", "\x1b[31m" + "x" * 300, *(f"model {n}" for n in range(20))]
    assert drawn(attribute_figure([AttributePoint(name, n, n) for n, name in enumerate(names)]))
