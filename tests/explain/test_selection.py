"""Test which reasons are shown, with evidence that is written by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from resemblance.config.image import ImageSpec
from resemblance.config.method import MethodConfig
from resemblance.config.model import ModelSpec
from resemblance.core.output import Evidence, Output, Paths
from resemblance.core.prototype_model import PrototypeModel
from resemblance.core.traits import Traits
from resemblance.explain.selection import best_reason, counter_classes, select
from resemblance.prototypes.layer import PrototypeLayer


class FixedEvidence(PrototypeModel):
    """A model of three classes with two prototypes per class and fixed contributions (B, 6)."""

    traits = Traits()

    def __init__(self, contributions, similarities, paths=None, order="contribution"):
        super().__init__(MethodConfig(), ModelSpec(("a", "b", "c"), ImageSpec(4, 4, 1, (0.0,), (1.0,))))
        self.prototypes = PrototypeLayer(PrototypeLayer.class_major(2, 3))
        self.traits = replace(Traits(), order=order)
        self.contributions, self.paths = torch.tensor(contributions), paths
        self.similarities = torch.tensor(similarities)

    def evidence(self, output, classes):
        reasons = torch.arange(self.contributions.shape[1])
        similarities = None if self.paths is None else self.similarities
        return Evidence(
            self.contributions, torch.zeros(len(classes)), reasons, None, similarities, paths=self.paths
        )

    def output(self):
        count = len(self.contributions)
        return Output(torch.zeros(count, 3), self.similarities, torch.zeros(count, 1))

    def shown(self, classes, top=None, chosen=None):
        selection = select(self, self.output(), torch.tensor(classes), top, chosen)
        return [reasons.tolist() for reasons in selection.shown]

    def best(self, classes):
        selection = best_reason(self, self.output(), torch.tensor(classes))
        return [reasons.tolist() for reasons in selection.shown]


def test_by_contribution_the_largest_come_first_and_nothing_else_is_left_out():
    model = FixedEvidence([[0.5, 0.0, 1e-6, -2.0, 0.5, 1.0]], [[0.1, 0.9, 0.8, 0.7, 0.2, 0.3]])
    assert model.shown([0]) == [[5, 4, 0, 2, 3]]  # of equal contributions, the more similar comes first


def test_the_first_reason_and_the_strongest_others_are_shown_for_and_against():
    model = FixedEvidence(
        [[0.5, 0.0, 1e-6, -2.0, 0.5, 1.0], [0.1, -3.0, -2.0, -1.0, 0.0, 0.0]],
        [[0.1, 0.9, 0.8, 0.7, 0.2, 0.3]] * 2,
    )
    assert model.shown([0, 0], top=1) == [[5], [0]]
    assert model.shown([0, 0], top=2) == [[5, 3], [0, 1]]
    assert model.shown([0, 0], top=3) == [[5, 4, 3], [0, 2, 1]]


def test_by_similarity_all_are_shown():
    model = FixedEvidence(
        [[0.5, 0.0, 1e-6, -2.0, 0.5, 1.0]], [[0.1, 0.9, 0.8, 0.7, 0.2, 0.3]], order="similarity"
    )
    assert model.shown([0]) == [[1, 2, 3, 5, 4, 0]]


def test_chosen_prototypes_are_shown_in_the_order_asked_for():
    model = FixedEvidence([[0.5, 0.0, 0.0, 0.0, 0.0, 1.0]] * 2, [[0.1] * 6] * 2)
    assert model.shown([0, 1], top=1, chosen=[4, 0]) == [[4, 0], [4, 0]]


def test_paths_that_carry_less_than_a_thousandth_are_left_out():
    nodes = torch.tensor([[0, -1], [0, 1], [0, 1]])
    turns = torch.tensor([[False, False], [True, False], [True, True]])
    contributions = [[0.8985, 0.1, 0.0015], [0.8995, 0.1, 0.0005]]
    model = FixedEvidence(contributions, contributions, Paths(nodes, turns))
    assert model.shown([0, 0]) == [[0, 1, 2], [0, 1]]
    assert model.shown([0, 0], chosen=[1]) == [[1, 2], [1]]
    selection = select(model, model.output(), torch.tensor([0, 0]), 2, None)
    assert selection.paths(0) == [[(0, False)], [(0, True), (1, False)]]


def test_the_best_reason_is_the_largest_contribution():
    model = FixedEvidence([[0.0, 0.0, 0.0, 0.2, 0.1, 0.0]], [[0.9, 0.8, 0.7, 0.1, 0.2, 0.9]])
    assert model.best([0]) == [[3]]  # although prototypes of class 0 are more similar
    equal = FixedEvidence([[0.2, 0.2, 0.1, 0.0, 0.0, 0.0]], [[0.1, 0.5, 0.9, 0.9, 0.9, 0.9]])
    assert equal.best([0]) == [[1]]


def test_where_nothing_contributes_the_best_is_the_most_similar_of_the_class():
    model = FixedEvidence([[0.0] * 6] * 3, [[0.1, 0.2, 0.9, 0.8, 0.3, 0.4]] * 3)
    assert model.best([0, 1, 2]) == [[1], [2], [5]]
    model.prototypes.owners[:2] = False
    assert model.best([0, 1, 2]) == [[], [2], [5]]


@pytest.mark.parametrize(
    ("explained", "label", "counter"),
    [
        (0, None, 1),  # the prediction is explained: the runner-up
        (0, 0, 1),  # and it is correct
        (0, 2, 2),  # the missed true class
        (0, 1, 1),
        (2, None, 0),  # another class is explained: the prediction
        (2, 2, 0),  # the missed true class is explained
        (2, 0, 0),
        (2, 1, 1),  # the missed true class is a third one
    ],
)
def test_the_counter_class_is_never_the_explained_one(explained, label, counter):
    scores = torch.tensor([[3.0, 2.0, 1.0]])
    classes = counter_classes(scores, torch.tensor([0]), torch.tensor([explained]), [label])
    assert classes.tolist() == [counter]
