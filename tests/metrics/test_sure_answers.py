"""How often a model is right where it is sure, and which images resemble least what it knows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models import make, noise_for
from resemblance.core.deciding import deciding_similarity
from resemblance.data.dataset import ImageDataset
from resemblance.metrics.evaluation import evaluate
from resemblance.metrics.suite.runner import measure
from resemblance.metrics.suite.subject import Settings, Subject, choose


@pytest.mark.parametrize("method", ["protopnet", "kmex", "blackbox", "flint"])
@pytest.mark.parametrize("batch_size", [3, 64])
def test_against_a_plain_count(method, batch_size):
    model = make(method).eval()
    source = noise_for(model, 30)
    result = evaluate(model, source, batch_size=batch_size)
    images, labels, _ = ImageDataset(source, model.spec.image).__getitems__(list(range(30)))
    with torch.no_grad():
        output = model(images)
    if method == "kmex":  # its softmax was not trained
        assert result.sure is None
    else:
        top, predicted = model.probabilities(output.scores).max(dim=1)
        sure = top >= 0.9
        assert result.sure == (int(sure.sum()), int((sure & (predicted == labels)).sum()))
    deciding = deciding_similarity(model, output)
    if deciding is None:
        assert result.least_familiar == ()
    else:
        values = deciding[0].numpy()
        listed = np.asarray(result.least_familiar)
        assert len(listed) == 20
        assert values[listed] == pytest.approx(np.sort(values)[:20], abs=1e-5)
    assert result.to_dict()["least_familiar"] == list(result.least_familiar)


@pytest.mark.parametrize("method", ["protopnet", "kmex"])
def test_measures_come_with_the_same_counts(method):
    model = make(method).eval()
    source = noise_for(model, 30)
    plain = evaluate(model, source)
    images, order = choose(source, None, 3)
    measured = measure(
        Subject("run", model, images, Settings(batch_size=7), order=order), ("accuracy",)
    ).evaluation
    assert (measured.sure, measured.least_familiar) == (plain.sure, plain.least_familiar)
    assert len(measured.least_familiar) == 20
