"""Random draws in training are functions of the place in the run, and of the process."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from resemblance.training.engine.module import StageModule, StageSettings
from resemblance.training.engine.optimizers import OptimizerState
from resemblance.training.engine.order import plan
from tiny import Stage, both, make


def drawn(seed=0, stage=0, step=0, micro=1, rank=0):
    """Return the first random number in a micro-batch."""
    settings = StageSettings(
        seed=seed,
        number=stage,
        rank=rank,
        plan=plan(64, 32, accumulate=4),
        first_step=0,
        optimizer_state=OptimizerState(),
        keep_best=False,
        patience=None,
        score=None,
        log=None,
        bar=None,
        label={},
    )
    module = StageModule(make(), Stage("all", 2, both()), settings)
    module._trainer = SimpleNamespace(global_step=step)
    module.on_train_batch_start(None, micro)
    return torch.rand(1).item()


def test_noise_differs_between_seeds_stages_steps_micro_batches_and_processes():
    others = [drawn(seed=1), drawn(stage=1), drawn(step=1), drawn(micro=2), drawn(rank=1)]
    assert drawn() == drawn()
    assert len({drawn(), *others}) == 6
