"""The linear probe is the minimum of its loss, and as good as another library's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from resemblance.config.errors import UserError
from resemblance.methods.blackbox.linear_probe import PENALTIES, _chosen_penalty, _folds, fit_probe

ROWS, LABELS = load_digits(return_X_y=True)
ROWS, LABELS = ROWS[:200], LABELS[:200].astype(np.int64)


def loss(rows, labels, weights, bias, penalty):
    """The loss, image by image."""
    total = 0.0
    for row, label in zip(rows, labels, strict=True):
        scores = [float(row @ w + b) for w, b in zip(weights, bias, strict=True)]
        total += np.log(sum(np.exp(score) for score in scores)) - scores[label]
    return total / len(rows) + penalty / 2 * sum(float(w @ w) for w in weights)


def scaled(rows):
    centred = rows - rows.mean(axis=0)
    return centred, float(np.sqrt((centred**2).sum(axis=1).mean()))


def test_no_change_makes_the_loss_smaller():
    probe = fit_probe(ROWS, LABELS, 10)
    centred, scale = scaled(ROWS)
    weights, bias = probe.weights * scale, probe.bias + probe.weights @ ROWS.mean(axis=0)
    least = loss(centred / scale, LABELS, weights, bias, probe.penalty)
    generator = np.random.default_rng(0)
    for _ in range(10):
        changed = weights + 1e-2 * generator.normal(size=weights.shape)
        moved = bias + 1e-2 * generator.normal(size=bias.shape)
        assert loss(centred / scale, LABELS, changed, bias, probe.penalty) > least
        assert loss(centred / scale, LABELS, weights, moved, probe.penalty) > least


def test_it_is_scikit_learns():
    probe = fit_probe(ROWS, LABELS, 10)
    centred, scale = scaled(ROWS)
    other = LogisticRegression(C=1 / (len(ROWS) * probe.penalty), tol=1e-10, max_iter=20000)
    other.fit(centred / scale, LABELS)
    ours = ROWS @ probe.weights.T + probe.bias
    theirs = other.decision_function(centred / scale)
    centre = [scores - scores.mean(axis=1, keepdims=True) for scores in (ours, theirs)]
    assert np.abs(centre[0] - centre[1]).max() < 1e-3 * np.abs(centre[1]).max()


def test_more_dimensions_than_images_give_the_same():
    """Weights lie in the span of the images; here, two columns repeat all others."""
    few = ROWS[:40]
    wide = np.concatenate([few, few, few], axis=1)
    narrow, broad = fit_probe(few, LABELS[:40], 10), fit_probe(wide, LABELS[:40], 10)
    assert broad.weights.shape == (10, 192)
    assert narrow.penalty == broad.penalty
    first = few @ narrow.weights.T + narrow.bias
    second = wide @ broad.weights.T + broad.bias
    assert np.allclose(first, second, atol=1e-4 * np.abs(first).max())


def test_classes_without_images_are_not_predicted():
    kept = LABELS < 7
    probe = fit_probe(ROWS[kept], LABELS[kept], 10)
    scores = ROWS[~kept] @ probe.weights.T + probe.bias
    assert np.isfinite(scores).all()
    assert scores.argmax(axis=1).max() < 7


@pytest.mark.parametrize("rows", [np.zeros((3, 4)), np.ones((3, 4)), np.eye(3, 4)])
def test_few_and_equal_images_are_no_error(rows):
    probe = fit_probe(rows, np.arange(3), 3)
    assert np.isfinite(probe.weights).all()
    assert np.isfinite(probe.bias).all()


def test_one_class_is_always_predicted():
    probe = fit_probe(ROWS[:5], np.full(5, 2), 3)
    assert ((ROWS @ probe.weights.T + probe.bias).argmax(axis=1) == 2).all()


def test_the_penalty_is_chosen_by_images_left_out():
    generator = np.random.default_rng(0)
    noise, labels = generator.normal(size=(60, 30)) / 30**0.5, np.arange(60) % 3
    assert _chosen_penalty(noise, labels, 3, 0) >= 0.1  # nothing can be learnt
    clear = noise / 100 + np.eye(3, 30)[labels]
    assert _chosen_penalty(clear, labels, 3, 0) == min(PENALTIES)


def test_folds_share_each_class_out():
    labels = np.repeat(np.arange(4), [10, 7, 3, 1])
    folds = _folds(labels, 0)
    for label in range(4):
        counts = np.bincount(folds[labels == label], minlength=5)
        assert counts.max() - counts.min() <= 1
    assert np.bincount(folds).tolist() == [5, 4, 4, 4, 4]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_embeddings_that_are_not_finite_are_refused(value):
    rows = ROWS.copy()
    rows[3, 4] = value
    with pytest.raises(UserError, match="embeddings are infinite or NaN"):
        fit_probe(rows, LABELS, 10)
    with pytest.raises(UserError, match="no training images"):
        fit_probe(rows[:0], LABELS[:0], 10)
