"""How often a model is right where it is sure, and which images resemble least what it knows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models import make, noise_for
from resemblance.core.deciding import deciding_similarity
from resemblance.data.dataset import ImageDataset
from resemblance.metrics.evaluation import evaluate


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
