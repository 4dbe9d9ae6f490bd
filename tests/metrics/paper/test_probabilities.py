from __future__ import annotations

import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from resemblance.config.errors import UserError
from resemblance.metrics import AccuracyGap, BrierScore, CalibrationError


def answers(images=300, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    probabilities = (3 * torch.randn(images, classes, generator=generator, dtype=torch.float64)).softmax(
        dim=1
    )
    return probabilities, torch.randint(classes, (images,), generator=generator)


def of(metric, probabilities, labels, size=64):
    for part in torch.arange(len(labels)).split(size):
        metric.update(probabilities[part], labels[part])
    return metric


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_calibration_error_is_that_of_torchmetrics(bins):
    probabilities, labels = answers()
    expected = multiclass_calibration_error(probabilities, labels, 4, n_bins=bins)
    assert of(CalibrationError(bins), probabilities, labels).compute().item() == pytest.approx(
        expected.item(), rel=1e-6
    )


def test_calibration_error_by_hand():
    probabilities = torch.tensor([[0.8, 0.2], [0.6, 0.4], [0.45, 0.55], [1.0, 0.0]])
    error = of(CalibrationError(2), probabilities, torch.tensor([0, 1, 1, 0]))
    assert error.compute().item() == pytest.approx(abs((0.8 + 0.6 + 0.55 + 1) / 4 - 3 / 4))
    images, confidence, accuracy = error.reliability()
    assert images.tolist() == [0, 4]
    assert confidence.tolist() == pytest.approx([torch.nan, 0.7375], nan_ok=True)
    assert accuracy.tolist() == pytest.approx([torch.nan, 0.75], nan_ok=True)


def test_a_model_that_is_right_as_often_as_it_says():
    probabilities = torch.tensor([[0.75, 0.25]]).expand(400, 2)
    labels = (torch.arange(400) % 4 == 0).long()
    assert of(CalibrationError(), probabilities, labels).compute().item() == pytest.approx(0, abs=1e-7)
    assert of(CalibrationError(), probabilities, 1 - labels).compute().item() == pytest.approx(0.5)


def test_certain_predictions_rounded_above_one_are_no_logits():
    probabilities = torch.tensor([[1.0000001, 0.0], [0.0, 1.0000001]])
    error = of(CalibrationError(), probabilities, torch.tensor([0, 1]))
    assert error.compute().item() == pytest.approx(0, abs=1e-6)


def test_brier_score_by_its_formula():
    probabilities, labels = answers(40)
    expected = sum(
        sum((p - (c == label)) ** 2 for c, p in enumerate(row))
        for row, label in zip(probabilities.tolist(), labels.tolist(), strict=True)
    )
    score = of(BrierScore(), probabilities, labels)
    assert score.compute().item() == pytest.approx(expected / 40)
    uniform = torch.full((8, 4), 0.25)
    assert of(BrierScore(), uniform, torch.arange(8) % 4).compute().item() == pytest.approx(0.75)


@pytest.mark.parametrize("metric", [CalibrationError, BrierScore])
def test_what_are_no_probabilities(metric):
    with pytest.raises(UserError, match=r"image 1 of the batch sum to 5, .*softmax"):
        metric().update(torch.tensor([[0.5, 0.5], [2.0, 3.0]]), torch.tensor([0, 0]))
    with pytest.raises(UserError, match="outside of 0 to 1"):
        metric().update(torch.tensor([[1.5, -0.5]]), torch.tensor([0]))
    clean, broken = metric(), metric()
    clean.update(torch.tensor([[0.7, 0.3]]), torch.tensor([0]))
    broken.update(torch.tensor([[0.7, 0.3], [torch.nan, 0.5]]), torch.tensor([0, 0]))
    assert broken.compute() == clean.compute()
    assert broken.counted()["undefined"] == 1


def test_gap_and_abstention():
    labels = torch.tensor([0, 0, 1, 1, 2])
    gap = AccuracyGap(3)
    gap.update(torch.tensor([0, 1, 1, -1, 2]), labels, labels)
    assert gap.accuracy().item() == pytest.approx(3 / 5)
    assert gap.compute().item() == pytest.approx(2 / 5)
    assert gap.counted() == {"images": 5, "abstained": 1}
    better = AccuracyGap(3)
    better.update(labels, labels, torch.tensor([0, 1, 1, 1, 2]))
    assert better.compute().item() == pytest.approx(-0.2)


def test_released_accuracy_renames_classes():
    labels = torch.arange(30) % 3
    permuted = (labels + 1) % 3
    gap = AccuracyGap(3)
    gap.update(permuted, labels, labels)
    assert gap.accuracy() == 0
    released = AccuracyGap(3, "released")
    released.update(permuted, labels, labels)
    assert (released.accuracy(), released.compute()) == (1, 0)
