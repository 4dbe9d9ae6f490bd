"""One Lightning fit a stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch.utils.data import DataLoader, Dataset

from resemblance.core.classifier import Classifier
from resemblance.core.recipe import Stage
from resemblance.data.loader import as_it_comes
from resemblance.training.engine.checkpoints import AtomicCheckpointIO, Saver
from resemblance.training.engine.devices import DistributedContext, quiet_lightning
from resemblance.training.engine.interrupts import Interrupts
from resemblance.training.engine.module import Progress, Setting, StageModule
from resemblance.training.engine.optimizers import OptimizerState, carry, freeze_others
from resemblance.training.engine.order import StepBatches
from resemblance.training.engine.state import adopt


@dataclass
class Trained:
    """What a stage leaves.

    Args:
        carried: optimiser state.
        progress: rows, and the best epoch.
        epochs: epochs behind the weights that were kept.
        steps: optimiser steps taken.
    """

    carried: OptimizerState
    progress: Progress
    epochs: int
    steps: int


def train_stage(
    model: Classifier,
    stage: Stage,
    dataset: Dataset[Any],
    setting: Setting,
    team: DistributedContext,
    *,
    path: Path,
    resume: bool = False,
    workers: int = 0,
    precision: str = "32-true",
    every: int | None = None,
    interrupts: Interrupts,
) -> Trained:
    """Train the model by the stage, from its checkpoint if it is to be resumed.

    Args:
        model: trained in place; ends with the weights of the best epoch where these were kept.
        stage: with at least one epoch and one group.
        dataset: takes (epoch, index) pairs.
        setting: see there.
        team: this process among the others.
        path: of the checkpoint within the stage.
        resume: whether to start from that checkpoint.
        workers: loader processes.
        precision: Lightning's name for it.
        every: optimiser steps between checkpoints; None: by the clock.
        interrupts: asked after each step.
    """
    # Given back at the end: matrix products of what needs a gradient are rounded in another way, and a resumed run
    # does not know what the last stage left frozen.
    needed = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    freeze_others(model, stage)
    module = StageModule(model, stage, setting)
    trainer = _trainer(stage, setting, team, precision, Saver(path, every, interrupts, module.check))
    batches = StepBatches(
        setting.plan, setting.seed, setting.number, lambda: trainer.global_step, setting.rank
    )
    loader = DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=as_it_comes,
        persistent_workers=workers > 0,
        pin_memory=team.accelerator == "gpu",
    )
    interrupts.patient = True
    try:
        with quiet_lightning():
            trainer.fit(module, loader, ckpt_path=path if resume else None)
    finally:
        interrupts.patient = False
    model.zero_grad(set_to_none=True)
    for parameter, gradient in needed:
        parameter.requires_grad_(gradient)
    progress, trained = module.progress, len(module.progress.history)
    carried = carry(model, stage, trainer.optimizers[0], trained, setting.carried)
    if progress.best is not None:
        adopt(model, progress.best["model"])
    epochs = trained if progress.best is None else int(progress.best["epoch"])
    return Trained(carried, progress, epochs, trained * setting.plan.steps)


def _trainer(
    stage: Stage, setting: Setting, team: DistributedContext, precision: str, saver: Saver
) -> Trainer:
    strategy: Any = SingleDeviceStrategy(device=team.device)
    if team.world > 1:
        strategy = DDPStrategy(find_unused_parameters=True)
    with quiet_lightning():
        return Trainer(
            accelerator=team.accelerator,
            devices=team.world,
            strategy=strategy,
            precision=precision,  # type: ignore[arg-type]
            max_epochs=stage.epochs,
            accumulate_grad_batches=setting.plan.accumulate,
            callbacks=[saver],
            # Naming the environment keeps Lightning from looking for a cluster.
            plugins=[LightningEnvironment(), AtomicCheckpointIO()],
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=True,
        )
