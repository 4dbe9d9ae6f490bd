"""One stage of a recipe as Lightning sees it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.core.distributed import world
from resemblance.core.recipe import Stage
from resemblance.core.training_step import TrainingStep
from resemblance.data.batch import Batch
from resemblance.training.engine.cached_outputs import CachedBatch, answer
from resemblance.training.engine.optimizers import OptimizerState, build_optimizer, rate_factor
from resemblance.training.engine.order import Plan
from resemblance.training.engine.randomness import Purpose, derive, seed_noise
from resemblance.training.engine.state import copy_tensors
from resemblance.training.engine.validation import Score
from resemblance.training.watch.bar import RunBar
from resemblance.training.watch.logs import RunLog

LOG_EVERY = 50


@dataclass
class Progress:
    """What a stage has measured so far; part of its checkpoint.

    Args:
        history: one row an epoch.
        best: ``accuracy``, ``loss``, ``epoch`` and ``model`` of the best epoch, if one is to be kept.
        stopped: whether patience has run out.
        sums: (T,) sums of the loss terms over the micro-batches of this epoch.
        count: micro-batches in ``sums``.
        terms: names of the terms.
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] | None = None
    stopped: bool = False
    sums: Tensor | None = None
    count: int = 0
    terms: list[str] = field(default_factory=list)


@dataclass
class Setting:
    """What a stage is trained with.

    Args:
        seed: of the run.
        number: of the stage in the run; all randomness depends on it.
        rank: of this process.
        plan: how an epoch divides into steps.
        first_step: optimiser steps of the run before the stage.
        carried: optimiser state left by earlier stages.
        keep_best: whether to keep the weights of the best epoch.
        patience: epochs without gain after which to stop.
        score: measures the model on the validation images; None without such.
        epochs_before: epochs of the stages before this one.
        log: where rows and curves go; None in processes that do not write.
        bar: likewise.
        label: added to each row.
        keep: called with the epochs done in the stage, before the first and after each, to keep snapshots.
    """

    seed: int
    number: int
    rank: int
    plan: Plan
    first_step: int
    carried: OptimizerState
    keep_best: bool
    patience: int | None
    score: Callable[[], Score] | None
    log: RunLog | None
    bar: RunBar | None
    label: dict[str, Any]
    epochs_before: int = 0
    keep: Callable[[int], None] | None = None


class StageModule(LightningModule):
    """Trains a model's parameter groups by a stage, validating after each epoch.

    Args:
        model: the model.
        stage: the stage.
        setting: what it is trained with.
    """

    def __init__(self, model: Classifier, stage: Stage, setting: Setting) -> None:
        super().__init__()
        self.model, self.stage, self.setting = model, stage, setting
        self.progress = Progress()
        self._logged: tuple[Tensor | None, int] = (None, 0)
        self._epoch_started = 0.0

    # Lightning's hooks, in the order in which they come.

    def configure_optimizers(self) -> Optimizer:
        """The stage's optimiser with the state that earlier stages left."""
        return build_optimizer(self.model, self.stage, self.setting.carried)

    def on_train_start(self) -> None:
        """Also called when resumed within an epoch."""
        if world() > 1:
            # Lightning's handler talks to the other processes, which may be gone: ours end when told to.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self.progress.stopped:
            self.trainer.should_stop = True
        if self.progress.sums is not None:
            self.progress.sums = self.progress.sums.to(self.device)
            self._logged = (self.progress.sums.clone(), self.progress.count)
        train_mode(self.model)
        if self.setting.bar is not None:
            self.setting.bar.skip_to(self._run_step())
        if self.setting.keep is not None and self.trainer.global_step == 0:
            self.setting.keep(0)
        self._epoch_started = time.monotonic()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Noise and rates are functions of the step."""
        setting, step = self.setting, self.trainer.global_step
        micro = batch_idx % setting.plan.accumulate
        place = derive(Purpose.NOISE, setting.seed, setting.number, step, micro, setting.rank)
        seed_noise(place, self.device)
        if micro == 0:
            self._set_rates(step)
        epoch, within = divmod(step, setting.plan.steps)
        stage, before = self.stage, setting.epochs_before
        self.model.before_step(
            TrainingStep(stage.name, epoch, stage.epochs, before, within, setting.plan.steps, micro)
        )

    def training_step(self, batch: Batch | CachedBatch, batch_idx: int) -> Tensor:
        """The sum of the model's loss terms."""
        output = answer(self.model, batch)
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
        """The step, and what the model does after it, before anything is saved."""
        super().optimizer_step(*args, **kwargs)
        with torch.no_grad():
            self.model.after_step()

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Now and then, curves; between that, nothing that would wait for the device."""
        if (batch_idx + 1) % self.setting.plan.accumulate:
            return
        if self.setting.bar is not None:
            self.setting.bar.step()
        if self.trainer.global_step % LOG_EVERY == 0:
            self._log_points()

    def on_train_epoch_end(self) -> None:
        """Validate, log, and remember the best."""
        self.check()
        progress, setting = self.progress, self.setting
        row = {**setting.label, "epoch": len(progress.history) + 1, "step": self._run_step()}
        row |= self._epoch_means() | self._rates()
        score = None if setting.score is None else setting.score()
        if score is not None:
            row |= score.row()
        row["seconds"] = round(time.monotonic() - self._epoch_started, 3)
        progress.history.append(row)
        progress.sums, progress.count, self._logged = None, 0, (None, 0)
        if score is not None and setting.keep_best:
            self._keep_best(score, row["epoch"])
        if setting.log is not None:
            setting.log.epoch(row)
        if setting.bar is not None:
            setting.bar.text = _describe(row, self.stage.epochs)
        if setting.keep is not None:
            setting.keep(row["epoch"])
        train_mode(self.model)
        self._epoch_started = time.monotonic()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what the stage has measured, and which stage it is."""
        checkpoint["resemblance"] = {
            "number": self.setting.number,
            "step": self.trainer.global_step,
            "progress": {**self.progress.__dict__},
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up what the stage had measured."""
        self.progress = Progress(**checkpoint["resemblance"]["progress"])

    # What they need.

    def check(self) -> None:
        """Refuse to go on with a loss that is no number.

        Raises:
            UserError: saying which term it was.
        """
        if self.progress.sums is None:
            return
        finite = self.progress.sums.isfinite()
        if not bool(finite.all()):
            bad = [name for name, good in zip(self.progress.terms, finite.tolist(), strict=True) if not good]
            raise UserError(
                f"the loss became infinite or NaN ({', '.join(bad)}) before step {self._run_step()}, in "
                f"stage {self.stage.name!r}; try a smaller rate, another --seed or --precision 32-true"
            )

    def _run_step(self) -> int:
        return self.setting.first_step + self.trainer.global_step

    def _set_rates(self, step: int) -> None:
        setting, stage, steps = self.setting, self.stage, self.setting.plan.steps
        optimizer = self.trainer.optimizers[0]
        for group in optimizer.param_groups:
            name = group["name"]
            age = (0 if stage.forgets(name) else setting.carried.ages.get(name, 0)) + step // steps
            own = stage.groups[name]
            factor = rate_factor(own.schedule or stage.schedule, age, step / (steps * stage.epochs))
            group["lr"] = own.lr * factor

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
        if self.setting.log is None or sums is None or count == self._logged[1]:
            return
        before, counted = self._logged
        means = (sums if before is None else sums - before) / (count - counted)
        named = {f"step/{name.removeprefix('train/')}": value for name, value in self._named(means).items()}
        self.setting.log.points({"step/loss": float(means.sum()), **named}, self._run_step())
        self._logged = (sums.clone(), count)

    def _keep_best(self, score: Score, epoch: int) -> None:
        progress, best, patience = self.progress, self.progress.best, self.setting.patience
        if score.beats(None if best is None else Score(best["accuracy"], best["loss"])):
            progress.best = {**asdict(score), "epoch": epoch, "model": copy_tensors(self.model)}
        elif best is not None and patience is not None and epoch - best["epoch"] >= patience:
            progress.stopped = self.trainer.should_stop = True


def train_mode(model: nn.Module) -> None:
    """Training mode, but batch norm in modules all of whose parameters are frozen keeps its statistics."""
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            for part in module.modules():
                if isinstance(part, nn.modules.batchnorm._BatchNorm):
                    part.eval()


def _describe(row: dict[str, Any], epochs: int) -> str:
    text = f"{row['stage']} · epoch {row['epoch']}/{epochs} · loss {row['train/loss']:.3g}"
    return text + (f" · validation {row['val/accuracy']:.1%}" if "val/accuracy" in row else "")
