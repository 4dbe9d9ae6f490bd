from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from resemblance.core.output import Output
from resemblance.metrics.confusion import accuracy, class_figures, frequent_confusions
from resemblance.metrics.evaluation import Evaluation, EvaluationCounts


def test_class_figures_by_hand():
    cat, dog = class_figures(np.array([[3, 1], [2, 4]]), ["cat", "dog"])
    assert (cat.precision, cat.recall, cat.f1) == (3 / 5, 3 / 4, 2 / 3)
    assert (dog.images, dog.precision, dog.recall) == (6, 4 / 5, 4 / 6)


@pytest.mark.parametrize("classes", [2, 3, 30])
def test_class_figures_are_these_ratios_without_warnings(classes):
    generator = np.random.default_rng(classes)
    names = [f"class {c}" for c in range(classes)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(20):
            present, predicted = generator.integers(0, 2, (2, classes))  # some classes without images
            confusion = generator.integers(0, 9, (classes, classes)) * present[:, None] * predicted
            for c, figures in enumerate(class_figures(confusion, names)):
                hits, images, guesses = confusion[c, c], confusion[c].sum(), confusion[:, c].sum()
                expected = [hits / guesses if guesses else np.nan, hits / images if images else np.nan]
                expected += [2 * hits / (images + guesses) if images + guesses else np.nan]
                np.testing.assert_array_equal([figures.precision, figures.recall, figures.f1], expected)
                assert (figures.name, figures.images) == (names[c], images)


def test_classes_without_images_have_no_figures():
    evaluation = Evaluation(("cat", "dog"), np.array([[0, 0], [0, 4]]))
    cat, dog = evaluation.per_class()
    assert cat == {"class": "cat", "images": 0, "precision": None, "recall": None, "f1": None}
    assert dog == {"class": "dog", "images": 4, "precision": 1.0, "recall": 1.0, "f1": 1.0}
    assert np.isnan(accuracy(np.zeros((2, 2), int)))


def test_mistakes_by_frequency():
    confusion = np.array([[5, 2, 0], [3, 7, 0], [0, 0, 9]])
    assert frequent_confusions(confusion, "abc") == [("b", "a", 3, 0.3), ("a", "b", 2, 2 / 7)]


def test_counts_do_not_depend_on_the_batches():
    generator = torch.Generator().manual_seed(0)
    scores, labels = torch.rand(50, 4, generator=generator), torch.arange(50) % 3  # none of class 3
    counted = np.zeros((4, 4), int)
    for true, predicted in zip(labels.tolist(), scores.argmax(1).tolist(), strict=True):
        counted[true, predicted] += 1
    for size in (50, 7):
        counts = EvaluationCounts(("a", "b", "c", "d"))
        for part in torch.arange(50).split(size):
            counts.add(
                Output(scores[part], torch.empty(len(part), 0), torch.empty(len(part), 0)), labels[part], part
            )
        evaluation = counts.result()
        np.testing.assert_array_equal(evaluation.confusion, counted)
        assert evaluation.wrong == tuple((scores.argmax(1) != labels).nonzero().flatten().tolist())
