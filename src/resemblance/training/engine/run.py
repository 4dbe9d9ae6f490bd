"""A run as a chain of transitions, each of which ends with its state on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from resemblance.core.recipe import Stage
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import loader
from resemblance.training.ends import actions
from resemblance.training.engine.cached_outputs import CachedOutputs, can_cache_outputs
from resemblance.training.engine.checkpoints import atomic_save, load_checkpoint
from resemblance.training.engine.devices import DistributedContext
from resemblance.training.engine.interrupts import Interrupts
from resemblance.training.engine.job import Job
from resemblance.training.engine.module import Setting
from resemblance.training.engine.optimizers import OptimizerState, follow
from resemblance.training.engine.order import Plan
from resemblance.training.engine.randomness import Purpose, derive, seed_noise
from resemblance.training.engine.stages import Trained, train_stage
from resemblance.training.engine.state import RunState
from resemblance.training.engine.validation import Score, autocast, validate
from resemblance.training.watch.bar import RunBar
from resemblance.training.watch.logs import RunLog
from resemblance.training.watch.snapshots import due, write_snapshot


def carry_out(team: DistributedContext, job: Job) -> None:
    """Take the run from where it stands to its end."""
    message = f"stopped; the run can go on: the same command with --resume ({job.folder})"
    with Interrupts(message, team.asked) as interrupts:
        Run(team, job, interrupts).finish()


class Run:
    """A run that is under way in one process.

    Args:
        team: this process among the others.
        job: what to do.
        interrupts: Ctrl-C.
    """

    def __init__(self, team: DistributedContext, job: Job, interrupts: Interrupts) -> None:
        self.team, self.job, self.interrupts = team, job, interrupts
        self.model, self.config = job.model, job.config
        self.state = RunState.load(job.state_path)
        self.state.give(self.model)
        self.model.to(team.device)
        self.within = self._within()
        self.bar: RunBar | None = None
        self.log: RunLog | None = None
        if team.rank == 0:
            rows = [] if self.within is None else self.within["progress"]["history"]
            step = self.state.step + (0 if self.within is None else self.within["step"])
            self.log = RunLog(job.folder / "logs", self.state.history + rows, step)
            phases = 1 + self.config.refit_on_all
            epochs = phases * sum(stage.epochs for stage in job.recipe.stages)
            quick = phases * sum(
                stage.epochs for stage in job.recipe.stages if self._can_cache_outputs(stage)
            )
            steps = self._plan.steps
            self.bar = RunBar(epochs * steps, epochs - quick, step, self.config.progress, quick=quick * steps)

    def finish(self) -> None:
        """Make one transition after the other."""
        try:
            while not self.state.finished:
                if self.interrupts.requested:
                    raise self.interrupts.error()
                stages = self.job.recipe_of(self.state).stages
                if self.state.stage == len(stages):
                    self._close()
                elif self.state.done == 0:
                    self._train(stages[self.state.stage])
                elif self.state.done <= len(stages[self.state.stage].end):
                    self._act(stages[self.state.stage])
                else:
                    self._leave(stages[self.state.stage])
        finally:
            if self.bar is not None:
                self.bar.pause()
            if self.log is not None:
                self.log.close()

    # Transitions.

    def _train(self, stage: Stage) -> None:
        state, epochs = self.state, 0
        if stage.epochs and stage.groups:
            trained = self._fit(stage)
            epochs = trained.epochs
            state.carried, state.step = trained.carried, state.step + trained.steps
            state.history += trained.progress.history
        if state.phase == 0:
            state.epochs.append(epochs)
        state.done = 1
        if stage.end or self.team.world > 1:
            self._commit()
        else:
            self._leave(stage)
        self.within = None
        if self.team.rank == 0:
            self.job.stage_path.unlink(missing_ok=True)

    def _act(self, stage: Stage) -> None:
        state = self.state
        if self.team.rank == 0:
            assert self.bar is not None
            self.bar.pause()
            seed = derive(Purpose.ACTION, self.config.seed, self.job.number(self.state), state.done)
            seed_noise(seed, self.team.device)
            context = actions.ActionContext(
                self.job.source(state),
                workers=self.config.workers,
                batch_size=self._plan.micro,
                device=self.team.device,
                seed=seed,
                progress=self.config.progress,
            )
            before = {name: parameter.shape for name, parameter in self.model.named_parameters()}
            actions.run(stage.end[state.done - 1], self.model, context)
            state.carried = follow(state.carried, before, self.model, context.kept)
            state.notes += context.notes
            self.bar.go_on()
        state.done += 1
        self._commit()

    def _leave(self, stage: Stage) -> None:
        """The stage is over: let its model compete."""
        state = self.state
        asked = (stage.candidate or stage.measured) and state.phase == 0
        score = self._score() if asked else None
        if score is not None and stage.measured:
            state.notes.append(f"validation accuracy after stage {stage.name!r}: {score.accuracy:.2%}")
        if score is not None and stage.candidate:
            row = {**self._label(stage), "step": state.step, "candidate": 1, **score.row()}
            state.history.append(row)
            if self.log is not None:
                self.log.epoch(row)
            best = state.candidate
            if score.beats(None if best is None else Score(best["accuracy"], best["loss"])):
                state.candidate = {"stage": state.stage, **asdict(score)}
                if self.team.rank == 0:
                    state.take(self.model)
                    atomic_save({"model": state.model, "facts": state.facts}, self.job.candidate_path)
        state.stage, state.done = state.stage + 1, 0
        self._commit()

    def _close(self) -> None:
        """All stages are over: choose the model; then train again on all images, or be done."""
        state, stages = self.state, self.job.recipe_of(self.state).stages
        again = False
        if state.phase == 0:
            if state.candidate is not None and state.candidate["stage"] < len(stages) - 1:
                self._restore(self.job.candidate_path)
                chosen = stages[state.candidate["stage"]].name
                state.notes.append(f"chosen on validation: the model after stage {chosen!r}")
            score = self._score()
            state.score = None if score is None else asdict(score)
            again = self.config.refit_on_all and score is not None
        if again:
            self._restore(self.job.start_path)
            state.phase, state.stage, state.done, state.carried = 1, 0, 0, OptimizerState()
            state.notes.append(
                "trained again on training and validation images; the accuracy on validation is from before"
            )
        state.finished = not again
        self._commit()
        if state.finished and self.team.rank == 0:
            for path in (self.job.candidate_path, self.job.start_path):
                path.unlink(missing_ok=True)

    # What they are made of.

    def _fit(self, stage: Stage) -> Trained:
        state, config = self.state, self.config
        choosing = state.phase == 0 and self.job.has_validation
        keep_best = choosing and (stage.select == "best" or config.patience is not None)
        images = self.job.training_set(state)
        dataset: Dataset[Any] = images
        score = self._validate
        if self._can_cache_outputs(stage):
            dataset, score = self._cache_outputs(images, choosing)
        setting = Setting(
            seed=config.seed,
            number=self.job.number(self.state),
            rank=self.team.rank,
            plan=self._plan,
            first_step=state.step,
            carried=state.carried,
            keep_best=keep_best,
            patience=config.patience,
            score=score if choosing else None,
            log=self.log,
            bar=self.bar,
            label=self._label(stage),
            epochs_before=self._epochs_before(),
            keep=partial(self._keep, stage) if self.team.rank == 0 else None,
        )
        return train_stage(
            self.model,
            stage,
            dataset,
            setting,
            self.team,
            path=self.job.stage_path,
            resume=self.within is not None,
            workers=config.workers if dataset is images else 0,
            precision=config.precision,
            every=config.checkpoint_every_steps,
            interrupts=self.interrupts,
        )

    def _can_cache_outputs(self, stage: Stage) -> bool:
        images = len(self.job.source(self.state))
        return self.team.world == 1 and can_cache_outputs(self.model, stage, self.job.recipe.augment, images)

    def _cache_outputs(
        self, images: ImageDataset, choosing: bool
    ) -> tuple[CachedOutputs, Callable[[], Score]]:
        """Answers to all images, computed once, and a validation that uses such answers too."""
        device, precision = self.team.device, self.config.precision
        batches = loader(images, min(self.job.recipe.batch_size, 256), self.config.workers)
        training = CachedOutputs(self.model, batches, autocast(precision, device))
        held = (
            [CachedOutputs(self.model, self._validation_batches, autocast(precision, device))]
            if choosing
            else []
        )
        known = [batch for answers in held for batch in answers.batches(1024)]
        return training, lambda: validate(self.model, known, device, autocast(precision, device))

    def _keep(self, stage: Stage, epoch: int) -> None:
        """Snapshots of the prototypes, by the epochs done in all stages."""
        if due(epoch, stage.epochs):
            write_snapshot(self.model, self.job.folder, self._epochs_before() + epoch)

    def _epochs_before(self) -> int:
        stages = self.job.recipe_of(self.state).stages
        return sum(stage.epochs for stage in stages[: self.state.stage])

    def _commit(self) -> None:
        """Put the state on disk; the other processes take over what the first one wrote."""
        if self.team.rank == 0:
            self.state.take(self.model)
            self.state.save(self.job.state_path)
        self.team.wait()
        if self.team.rank > 0:
            self.state = RunState.load(self.job.state_path)
            self.state.give(self.model)
            self.model.to(self.team.device)
        self.team.wait()  # the first must not write the next state before the others have read this one

    def _restore(self, path: Path) -> None:
        self.team.wait()
        content = load_checkpoint(path)
        self.state.model, self.state.facts = content["model"], content["facts"]
        self.state.give(self.model)
        self.model.to(self.team.device)

    def _score(self) -> Score | None:
        return self._validate() if self.job.has_validation else None

    def _validate(self) -> Score:
        context = autocast(self.config.precision, self.team.device)
        return validate(self.model, self._validation_batches, self.team.device, context)

    @cached_property
    def _validation_batches(self) -> Any:
        return self.job.validation_batches(self.team)

    @property
    def _plan(self) -> Plan:
        return self.job.plan(self.state, self.team)

    def _label(self, stage: Stage) -> dict[str, Any]:
        return {"phase": "refit" if self.state.phase else "train", "stage": stage.name}

    def _within(self) -> dict[str, Any] | None:
        """Our part of the checkpoint within the stage, if there is one of this stage."""
        if not self.job.stage_path.exists():
            return None
        found: dict[str, Any] = load_checkpoint(self.job.stage_path)["resemblance"]
        return found if found["number"] == self.job.number(self.state) and self.state.done == 0 else None
