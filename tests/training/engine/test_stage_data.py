"""What is computed once: latents behind a frozen encoder, and outputs for the head, of images that stay the same."""

from __future__ import annotations

import pytest

from cases import digits
from frozen import made_with_weights
from resemblance.config.training import TrainConfig
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
