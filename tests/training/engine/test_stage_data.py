"""What is computed once: latents behind a frozen encoder, and outputs for the head, of images that stay the same."""

from __future__ import annotations

import numpy as np
import pytest

from cases import digits
from frozen import made_with_weights
from resemblance.config.training import TrainConfig
from resemblance.data.benchmarks.box_crops import CornerCrops
from resemblance.training.engine.devices import DistributedContext
from resemblance.training.engine.fit import check_fit
from resemblance.training.engine.stage_data import StageData
from resemblance.training.engine.state import RunState

FROZEN, HEAD = (
    "warm",
    "last layer 2",
)  # stages of ProtoPNet: behind the frozen encoder, and of the last layer alone


@pytest.mark.parametrize(
    ("options", "fast"),
    [
        ({}, {FROZEN, HEAD}),
        ({"augment": "flip"}, set()),
        ({"augment": "flip", "stored_views": 2}, {FROZEN, HEAD}),  # both read the stored views
        ({"adversarial": "fgsm"}, set()),
        ({"jpeg_augment": 0.5}, set()),
        ({"latent_cache": 0.0}, {HEAD}),
    ],
)
def test_only_images_that_stay_the_same_are_computed_once(options, fast, tmp_path):
    model = made_with_weights("protopnet", tmp_path, freeze_encoder=True)
    config = TrainConfig(accelerator="cpu", progress=False, batch_size=32, epochs=6, **options)
    job = check_fit(model, digits(96, 40), tmp_path / "run", config).job
    assert job.same_images == (fast >= {HEAD} and "augment" not in options)
    data, state = StageData(job, DistributedContext("cpu")), RunState(job.identity, {})
    stages = [stage for stage in job.recipe.stages if stage.epochs and stage.groups]
    assert {FROZEN, HEAD} <= {stage.name for stage in stages}
    assert {stage.name for stage in stages if data.is_fast(stage, state)} & {FROZEN, HEAD} == fast


@pytest.mark.parametrize("options", [{}, {"augment": "flip", "stored_views": 2}])
def test_nothing_is_computed_once_of_images_with_views(options, tmp_path):
    model = made_with_weights("protopnet", tmp_path, freeze_encoder=True)
    splits = digits(96, 40)
    boxes = np.tile([0.0, 0.0, *splits.train.shapes[0, [1, 0]]], (len(splits.train), 1))
    splits.train = CornerCrops(splits.train, boxes)
    config = TrainConfig(accelerator="cpu", progress=False, batch_size=32, epochs=6, **options)
    job = check_fit(model, splits, tmp_path / "run", config).job
    data, state = StageData(job, DistributedContext("cpu")), RunState(job.identity, {})
    assert not any(data.is_fast(stage, state) for stage in job.recipe.stages if stage.groups)
    assert job.training_set(state).views
