"""The nearest prototypes, where one similarity decides."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from matplotlib.colors import to_hex

from figure_checks import bars_of
from resemblance.drawing.canvas import canvas
from resemblance.drawing.style import FAINT
from resemblance.explain.context.ranking import Ranking, nearest_prototypes
from resemblance.explain.explain import explain_batch
from resemblance.explain.familiarity.familiarity import Familiarity
from resemblance.explain.figure.explanation_figure import explanation_figure
from resemblance.explain.figure.ranked_row import BAND
from toy_model import Nearest, Toy

IMAGES = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_the_first_is_the_score_and_the_order_is_that_of_the_similarities():
    model = Nearest()
    for one in explain_batch(model, IMAGES):
        ranked = one.ranking
        values = [item.similarity for item in ranked.nearest]
        assert values == sorted(values, reverse=True)
        assert values[0] == pytest.approx(one.breakdown.score, abs=1e-6)
        assert one.predicted in ranked.nearest[0].prototype.classes
        rival = ranked.nearest[ranked.rival]
        best_other = max(score for i, score in enumerate(one.scores) if i != one.prediction)
        assert rival.similarity == pytest.approx(float(best_other), abs=1e-6)
        assert ranked.margin == pytest.approx(float(one.scores.max() - best_other), abs=1e-6)


def test_a_rival_is_shown_even_if_many_prototypes_of_the_class_are_nearer():
    layer = Nearest().prototypes
    similarities = torch.zeros(1, len(layer))
    own = layer.owners[:, 0]
    similarities[0, own] = 1.0
    similarities[0, ~own] = torch.arange(int((~own).sum())).float() / 100
    (row,) = nearest_prototypes(layer, similarities, shown=2)
    assert bool(own[row[0]])
    assert row[-1] == int(similarities.masked_fill(own, -1).argmax())


def test_without_the_first_the_second_decides():
    model = Nearest()
    (one,) = explain_batch(model, IMAGES[:1])
    first, second = one.ranking.nearest[:2]
    said = " ".join(one.ranking.sentences())
    assert f"Without {first.prototype.title} the answer would" in said
    assert second.prototype.title in said
    still = bool(set(first.prototype.classes) & set(second.prototype.classes))
    assert ("still be" in said) is still
    assert one.ranking.to_dict()["without_first"] == second.prototype.index
    assert all(line in str(one) for line in one.ranking.sentences())
    assert "Nearest prototypes of all classes" in str(one)
    assert 'class="ranking"' in one._repr_html_()


def test_methods_with_weights_have_none():
    (one,) = explain_batch(Toy(), IMAGES[:1])
    assert one.ranking is None
    assert one.to_dict()["ranking"] is None
    assert "Nearest prototypes of all classes" not in str(one)


def test_the_figure_shows_the_row_on_one_scale_and_the_reference_behind_it():
    (one,) = explain_batch(Nearest(), IMAGES[:1])
    one = replace(one, familiarity=Familiarity(0.3, 0, 200, None, 0.2, 0.9, 0.1))
    figure = explanation_figure(one)
    texts = [text.get_text() for text in figure.texts]
    assert BAND in texts
    for ranked in one.ranking.nearest:
        assert f"{one.ranking.number(ranked.similarity)}  ({ranked.prototype.index})" in texts
    count = len(one.ranking.nearest)
    bars = bars_of(figure)[:count]
    bands = [patch for patch in canvas(figure).patches if to_hex(patch.get_facecolor()) == FAINT]
    assert len(bands) == len(bars) == count
    inch = bars[0].get_width() / one.ranking.nearest[0].similarity  # of a unit
    for bar, band, ranked in zip(bars, bands, one.ranking.nearest, strict=True):
        assert bar.get_width() == pytest.approx(inch * ranked.similarity)
        assert band.get_x() - bar.get_x() == pytest.approx(inch * 0.2)
        assert band.get_width() == pytest.approx(inch * (0.9 - 0.2))
    frame = figure.bbox
    for artist in (*figure.texts, *canvas(figure).patches):
        extent = artist.get_window_extent()
        assert frame.x0 <= extent.x0 <= extent.x1 <= frame.x1 + 1
        assert frame.y0 <= extent.y0 <= extent.y1 <= frame.y1 + 1


def test_close_similarities_are_told_apart():
    (one,) = explain_batch(Nearest(), IMAGES[:1])
    first, second = one.ranking.nearest[:2]
    close = Ranking((replace(first, similarity=0.001044), replace(second, similarity=0.001042)), 1, 1)
    assert close.number(0.001044) != close.number(0.001042)
    assert "is 0.000002." in close.sentences()[0]
