"""The nearest prototypes, where one similarity decides."""

from __future__ import annotations

import pytest
import torch

from resemblance.explain.context.ranking import nearest_prototypes
from resemblance.explain.explain import explain_batch
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
