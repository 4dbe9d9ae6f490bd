"""One stage of a recipe as a LightningModule."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from lightning.pytorch import LightningModule
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.core.distributed import world
from resemblance.core.recipe import Stage
from resemblance.core.training_step import TrainingStep
from resemblance.data.batch import Batch, EncodedBatch
from resemblance.training.attacks.adversarial_training import FastAttack
from resemblance.training.cached.cached_outputs import CachedBatch, compute_output
from resemblance.training.engine.optimizers import OptimizerState, build_optimizer, rate_factor
from resemblance.training.engine.order import Plan
from resemblance.training.engine.randomness import Purpose, derive, seed_noise
from resemblance.training.engine.stage_record import Progress
from resemblance.training.engine.state import copy_tensors
from resemblance.training.engine.validation import Score
from resemblance.training.exact_types import same_structure
from resemblance.training.watch.bar import RunBar
from resemblance.training.watch.logs import RunLog

LOG_EVERY = 50


@dataclass
class StageSettings:
    """The settings with which a stage is trained.

    Args:
        seed: the seed of the run.
        number: the number of the stage in the run; all randomness depends on it.
        rank: the rank of this process.
        plan: how an epoch is divided into steps.
        first_step: optimiser steps of the run before the stage.
        optimizer_state: the optimiser state of the earlier stages.
        keep_best: whether to keep the weights of the best epoch.
        patience: epochs without improvement after which to stop.
        score: measures the model on the validation images; None if there are none.
        epochs_before: epochs of the stages before this one.
        log: receives rows and curves; None in processes that do not write.
        bar: the progress bar; None in processes that do not show it.
        label: added to each row.
        keep_snapshot: called with the epochs done in the stage, before the first and after each.
        attack: the attack on whose images is trained; None to train on the images as they are.
        balanced: (N,) labels of the images, to draw all classes equally often; None to draw every image once.
    """

    seed: int
    number: int
    rank: int
    plan: Plan
    first_step: int
    optimizer_state: OptimizerState
    keep_best: bool
    patience: int | None
    score: Callable[[], Score] | None
    log: RunLog | None
    bar: RunBar | None
    label: dict[str, Any]
    epochs_before: int = 0
    keep_snapshot: Callable[[int], None] | None = None
    attack: FastAttack | None = None
    balanced: NDArray[np.int64] | None = None


class StageModule(LightningModule):
    """Train a model's parameter groups by a stage, and validate after each epoch.

    Args:
        model: the model.
        stage: the stage.
        settings: the settings with which it is trained.

    Attributes:
        stepped: whether a step has been made in this process.
    """

    def __init__(self, model: Classifier, stage: Stage, settings: StageSettings) -> None:
        super().__init__()
        self.model, self.stage, self.settings = model, stage, settings
        self.progress = Progress()
        self.stepped = False
        self._logged: tuple[Tensor | None, int] = (None, 0)
        self._epoch_started = 0.0

    # Lightning's hooks, in the order in which they are called.

    def configure_optimizers(self) -> Optimizer:
        """Return the stage's optimiser with the state of earlier stages."""
        return build_optimizer(self.model, self.stage, self.settings.optimizer_state)

    def on_train_start(self) -> None:
        """Prepare the model and the counters, also when resumed within an epoch."""
        if self.progress.stopped:
            self.trainer.should_stop = True
        if self.progress.sums is not None:
            self.progress.sums = self.progress.sums.to(self.device)
            self._logged = (self.progress.sums.clone(), self.progress.count)
        train_mode(self.model)
        if self.settings.bar is not None:
            self.settings.bar.skip_to(self._run_step())
        if self.settings.keep_snapshot is not None and self.trainer.global_step == 0:
            self.settings.keep_snapshot(0)
        self._epoch_started = time.monotonic()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set noise and learning rates, which are functions of the step."""
        settings, step = self.settings, self.trainer.global_step
        micro = batch_idx % settings.plan.accumulate
        place = derive(Purpose.NOISE, settings.seed, settings.number, step, micro, settings.rank)
        seed_noise(place, self.device)
        if micro == 0:
            self._set_rates(step)
        epoch, within = divmod(step, settings.plan.steps)
        stage, before = self.stage, settings.epochs_before
        self.model.before_step(
            TrainingStep(stage.name, epoch, stage.epochs, before, within, settings.plan.steps, micro)
        )

    def training_step(self, batch: Batch | EncodedBatch | CachedBatch, batch_idx: int) -> Tensor:
        """Return the sum of the model's loss terms."""
        if self.settings.attack is not None and isinstance(batch, Batch):
            epoch = self.trainer.global_step // self.settings.plan.steps
            batch = self.settings.attack.attacked(self.model, batch, epoch)
        output = compute_output(self.model, batch)
        terms = self.model.loss(output, batch.labels)
        with torch.no_grad():
            self.model.update_without_grad(output, batch.labels)
        values = torch.stack([term.float() for term in terms.values()])
        progress = self.progress
        if progress.sums is None:
            progress.sums, progress.terms = torch.zeros_like(values, requires_grad=False), list(terms)
        progress.sums += values.detach()
        progress.count += 1
        return values.sum()

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Make the step and call the model's `after_step`, before anything is saved."""
        super().optimizer_step(*args, **kwargs)
        self.stepped = True
        with torch.no_grad():
            self.model.after_step()

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Write points every `LOG_EVERY` steps; in between, do nothing that would wait for the device."""
        if (batch_idx + 1) % self.settings.plan.accumulate:
            return
        if self.settings.bar is not None:
            self.settings.bar.step()
        if self.trainer.global_step % LOG_EVERY == 0:
            self._log_points()

    def on_train_epoch_end(self) -> None:
        """Validate, log, and keep the best epoch."""
        self.check()
        progress, settings = self.progress, self.settings
        row = {**settings.label, "epoch": len(progress.history) + 1, "step": self._run_step()}
        row |= self._epoch_means() | self._rates()
        score = None if settings.score is None else settings.score()
        if score is not None:
            row |= score.row()
        row["seconds"] = round(time.monotonic() - self._epoch_started, 3)
        progress.history.append(row)
        progress.sums, progress.count, self._logged = None, 0, (None, 0)
        if score is not None and settings.keep_best:
            self._keep_best(score, row["epoch"])
        if settings.log is not None:
            settings.log.epoch(row)
        if settings.bar is not None:
            settings.bar.text = _describe(row, self.stage.epochs)
        if settings.keep_snapshot is not None:
            settings.keep_snapshot(row["epoch"])
        train_mode(self.model)
        self._epoch_started = time.monotonic()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the stage's number and measurements to the checkpoint."""
        checkpoint["resemblance"] = {
            "number": self.settings.number,
            "step": self.trainer.global_step,
            "progress": {**self.progress.__dict__},
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the stage's measurements.

        Raises:
            ValueError: if there is no state of the optimiser, which Lightning would not miss, or the counters of
                Lightning's loop are no counters.
        """
        if len(checkpoint["optimizer_states"]) != 1:
            raise ValueError("no state of the optimiser")
        if not same_structure(checkpoint["loops"], {"fit_loop": self.trainer.fit_loop.state_dict()}):
            raise ValueError("no state of Lightning's loop")
        self.progress = Progress(**checkpoint["resemblance"]["progress"])

    # Parts of the hooks.

    def check(self) -> None:
        """Check that the loss is finite.

        Raises:
            UserError: if a term is not; the message names it.
        """
        if self.progress.sums is None:
            return
        finite = self.progress.sums.isfinite()
        if not bool(finite.all()):
            bad = [name for name, ok in zip(self.progress.terms, finite.tolist(), strict=True) if not ok]
            raise UserError(
                f"the loss became infinite or NaN ({', '.join(bad)}) before step {self._run_step()}, in "
                f"stage {self.stage.name!r}; try a smaller learning rate, another --seed or --precision 32-true"
            )

    def _run_step(self) -> int:
        return self.settings.first_step + self.trainer.global_step

    def _set_rates(self, step: int) -> None:
        settings, stage, steps = self.settings, self.stage, self.settings.plan.steps
        optimizer = self.trainer.optimizers[0]
        for group in optimizer.param_groups:
            name = group["name"]
            age = (0 if stage.forgets(name) else settings.optimizer_state.ages.get(name, 0)) + step // steps
            recipe = stage.groups[name]
            factor = rate_factor(recipe.schedule or stage.schedule, age, step / (steps * stage.epochs))
            group["lr"] = recipe.lr * factor

    def _rates(self) -> dict[str, float]:
        return {f"rate/{group['name']}": group["lr"] for group in self.trainer.optimizers[0].param_groups}

    def _epoch_means(self) -> dict[str, float]:
        assert self.progress.sums is not None
        means = self.progress.sums.double() if self.device.type != "mps" else self.progress.sums.clone()
        means /= self.progress.count
        if world() > 1:
            dist.all_reduce(means)
            means /= world()
        return {"train/loss": float(means.sum())} | self._named(means)

    def _named(self, values: Tensor) -> dict[str, float]:
        pairs = zip(self.progress.terms, values.tolist(), strict=True)
        return {f"train/{name}": value for name, value in pairs}

    def _log_points(self) -> None:
        self.check()
        sums, count = self.progress.sums, self.progress.count
        if self.settings.log is None or sums is None or count == self._logged[1]:
            return
        before, counted = self._logged
        means = (sums if before is None else sums - before) / (count - counted)
        named = {f"step/{name.removeprefix('train/')}": value for name, value in self._named(means).items()}
        self.settings.log.points({"step/loss": float(means.sum()), **named}, self._run_step())
        self._logged = (sums.clone(), count)

    def _keep_best(self, score: Score, epoch: int) -> None:
        progress, best, patience = self.progress, self.progress.best, self.settings.patience
        if score.beats(None if best is None else Score(best["accuracy"], best["loss"])):
            tensors = copy_tensors(self.model)
            progress.best = {
                "accuracy": score.accuracy,
                "loss": score.loss,
                "epoch": epoch,
                "model": tensors,
            }
        elif best is not None and patience is not None and epoch - best["epoch"] >= patience:
            progress.stopped = self.trainer.should_stop = True


def train_mode(model: nn.Module) -> None:
    """Switch to training mode, but leave modules whose parameters are all frozen in evaluation mode.

    Their batch norm keeps its statistics, and they have no dropout: what they compute for an image stays the same, and
    is computed once where it can be kept.
    """
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def _describe(row: dict[str, Any], epochs: int) -> str:
    text = f"{row['stage']} · epoch {row['epoch']}/{epochs} · loss {row['train/loss']:.3g}"
    return text + (f" · validation {row['val/accuracy']:.1%}" if "val/accuracy" in row else "")
