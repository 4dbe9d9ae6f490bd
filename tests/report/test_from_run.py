"""Which images a run's report looks at."""

from __future__ import annotations

import numpy as np
import pytest

from models import noise_for
from resemblance.data.sources.source import DataSplits, Subset
from resemblance.report import from_run
from resemblance.runs.run import RunRecord
from toy_model import Toy


@pytest.mark.parametrize(("config", "counted"), [({}, 12), ({"refit_on_all": True}, 20)])
def test_sources_are_counted_among_the_images_that_prototypes_come_from(monkeypatch, config, counted):
    """After ``--refit-on-all`` a prototype's source index counts the validation images behind the training images."""
    model = Toy()
    images = noise_for(model, 24)
    train, val, test = (Subset(images, np.arange(*ends)) for ends in ((0, 12), (12, 20), (20, 24)))
    splits = DataSplits(train, val, test, model.spec.classes, "noise")
    given = []
    monkeypatch.setattr(from_run, "paper_figures", lambda model, inputs: given.append(inputs) or {})
    from_run.run_report(RunRecord("run", model, config=config), splits, explain=1)
    (inputs,) = given
    assert len(inputs.train) == counted
    order = [*range(12), *range(12, 20)][:counted]
    for place, image in enumerate(order):
        assert np.array_equal(np.asarray(inputs.train.read(place)), np.asarray(images.read(image)))
    assert len(inputs.source) == 4
