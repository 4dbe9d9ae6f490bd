"""A run as a sequence of transitions, each of which ends with its state on the disk."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from resemblance.core.distributed import any_process
from resemblance.core.prototype_model import PrototypeModel
from resemblance.core.recipe import Stage
from resemblance.core.reference_counts import ReferenceCounts
from resemblance.data.dataset import ImageDataset
from resemblance.training.devices.group import TrainingGroup
from resemblance.training.ends import actions
from resemblance.training.engine.checkpoints import atomic_save, load_checkpoint
from resemblance.training.engine.devices import DistributedContext
from resemblance.training.engine.interrupts import Interrupts
from resemblance.training.engine.job import Job
from resemblance.training.engine.module import StageSettings
from resemblance.training.engine.optimizers import OptimizerState, select_state
from resemblance.training.engine.order import Plan
from resemblance.training.engine.randomness import Purpose, derive, seed_noise
from resemblance.training.engine.stage_data import StageData
from resemblance.training.engine.stage_record import StageRecord, read_record
from resemblance.training.engine.stages import StageResult, train_stage
from resemblance.training.engine.state import RunState
from resemblance.training.engine.validation import Score
from resemblance.training.watch.bar import RunBar
from resemblance.training.watch.logs import RunLog
from resemblance.training.watch.snapshots import due, write_snapshot


class Run:
    """A run in one process.

    Args:
        distributed: the processes of the run.
        job: the model, the images and the recipe.
        interrupts: handles Ctrl-C and other signals.
    """

    def __init__(self, distributed: DistributedContext, job: Job, interrupts: Interrupts) -> None:
        self.distributed, self.job, self.interrupts = distributed, job, interrupts
        self.model, self.config = job.model, job.config
        self.state = RunState.load(job.state_path)
        self.state.load_into(self.model)
        self.model.to(distributed.device)
        self.model.class_weights = self.job.class_weights(self.state, self.distributed.device)
        self.data = StageData(job, distributed)
        self.restored = job.state_path if job.config.resume else None
        self.stage_checkpoint = self._read_stage_checkpoint()
        self.group = TrainingGroup(distributed)
        self.bar: RunBar | None = None
        self.log: RunLog | None = None
        if distributed.rank == 0:
            rows = [] if self.stage_checkpoint is None else self.stage_checkpoint["progress"]["history"]
            step = self.state.step + (0 if self.stage_checkpoint is None else self.stage_checkpoint["step"])
            self.log = RunLog(job.folder / "logs", self.state.history + rows, step)
            again, stages, steps = self.config.refit_on_all, job.recipe.stages, self._plan.steps
            epochs = (1 + again) * sum(stage.epochs for stage in stages)
            left = [*stages[self.state.stage :], *(stages if again and not self.state.phase else ())]
            fast = sum(stage.epochs for stage in left if self.data.is_fast(stage, self.state))
            self.bar = RunBar(epochs * steps, epochs - fast, step, self.config.progress, fast=fast * steps)

    def finish(self) -> None:
        """Make one transition after the other until the run is finished."""
        try:
            while not self.state.finished:
                if any(any_process([self.interrupts.requested], self.distributed.device)):
                    raise self.interrupts.error()
                stages = self.job.recipe_of(self.state).stages
                if self.state.stage == len(stages):
                    self._finish_phase()
                elif self.state.done == 0:
                    self._train_stage(stages[self.state.stage])
                elif self.state.done <= len(stages[self.state.stage].end):
                    self._run_end_action(stages[self.state.stage])
                else:
                    self._finish_stage(stages[self.state.stage])
        finally:
            self.model.class_weights = None
            if self.bar is not None:
                self.bar.pause()
            if self.log is not None:
                self.log.close()

    # Transitions.

    def _train_stage(self, stage: Stage) -> None:
        state, epochs = self.state, 0
        if stage.chooses:
            self._choose()
        if stage.clearly and self._is_settled():
            state.notes.append(
                f"stage {stage.name!r} was left out: too few validation images were misclassified before it to tell "
                "whether it makes the model better"
            )
        elif stage.epochs and stage.groups:
            result = self._fit(stage)
            self.restored = None
            epochs = result.epochs
            state.optimizer_state, state.step = result.optimizer_state, state.step + result.steps
            state.history += result.progress.history
        if state.phase == 0:
            state.epochs.append(epochs)
        state.done = 1
        if stage.end or self.distributed.world > 1:
            self._save_state()
        else:
            self._finish_stage(stage)
        self.stage_checkpoint = None
        if self.distributed.rank == 0:
            self.job.stage_path.unlink(missing_ok=True)

    def _run_end_action(self, stage: Stage) -> None:
        state = self.state
        if self.distributed.rank == 0:
            assert self.bar is not None
            self.bar.pause()
            seed = derive(Purpose.ACTION, self.config.seed, self.job.stage_number(self.state), state.done)
            seed_noise(seed, self.distributed.device)
            context = actions.ActionContext(
                self.job.source(state),
                workers=self.config.workers,
                batch_size=self._plan.micro,
                device=self.distributed.device,
                seed=seed,
                progress=self.config.progress,
                balanced=self.config.balanced,
                encoded=self.data.end_actions(state),
            )
            before = {name: parameter.shape for name, parameter in self.model.named_parameters()}
            with self.group.helped():
                actions.run(stage.end[state.done - 1], self.model, context)
            state.optimizer_state = select_state(state.optimizer_state, before, self.model, context.kept)
            state.notes += context.notes
            self.bar.resume()
        else:
            self.group.help()
        state.done += 1
        self._save_state()

    def _finish_stage(self, stage: Stage) -> None:
        """End a stage: measure its model if the recipe asks for it, and keep the best candidate so far."""
        state = self.state
        score = self._score() if (stage.candidate or stage.measured) and state.phase == 0 else None
        if score is not None and stage.measured:
            state.notes.append(f"validation accuracy after stage {stage.name!r}: {score.accuracy:.2%}")
        if score is not None and stage.candidate and not (stage.clearly and self._is_settled()):
            row = {**self._label(stage), "step": state.step, "candidate": 1, **score.row()}
            state.history.append(row)
            if self.log is not None:
                self.log.epoch(row)
            best = state.candidate
            other = None if best is None else Score(best["accuracy"], best["loss"])
            if score.clearly_beats(other, len(self.job.splits.val)) if stage.clearly else score.beats(other):
                state.candidate = {"stage": state.stage, "accuracy": score.accuracy, "loss": score.loss}
                if self.distributed.rank == 0:
                    state.copy_from(self.model)
                    atomic_save({"model": state.model, "facts": state.facts}, self.job.candidate_path)
        state.stage, state.done = state.stage + 1, 0
        self._save_state()

    def _finish_phase(self) -> None:
        """End the last stage: choose the model; then finish, or train again on all images."""
        state = self.state
        refit = state.phase == 0 and self.config.refit_on_all and self.job.has_validation
        if state.phase == 0:
            self._load_best()
            reference = self._reference() if refit else None
            score = self._score(reference)
            state.score = None if score is None else {"accuracy": score.accuracy, "loss": score.loss}
            state.reference = None if reference is None else reference.result(before_refit=True).to_dict()
        if refit:
            self._load_model(self.job.start_path)
            state.phase, state.stage, state.done, state.optimizer_state = 1, 0, 0, OptimizerState()
            state.notes.append(
                "trained again on training and validation images; the validation accuracy is from before"
            )
            self.model.class_weights = self.job.class_weights(self.state, self.distributed.device)
        state.finished = not refit
        self._save_state()

    # Parts of the transitions.

    def _choose(self) -> None:
        """Continue with the best candidate so far; when training again, leave out the stages after it."""
        if (best := self.state.candidate) is None:
            return
        self._load_best()
        epochs = self.state.epochs
        self.state.epochs = [count if stage <= best["stage"] else 0 for stage, count in enumerate(epochs)]
        self.state.candidate = None

    def _is_settled(self) -> bool:
        """Check whether not even a model without errors would clearly beat the best candidate so far."""
        best = self.state.candidate
        if best is None or self.state.phase > 0:
            return False
        other = Score(best["accuracy"], best["loss"])
        return not Score(1.0, 0.0).clearly_beats(other, len(self.job.splits.val))

    def _load_best(self) -> None:
        """Load the best candidate, unless it is the model after the last stage."""
        state, stages = self.state, self.job.recipe_of(self.state).stages
        if state.candidate is not None and state.candidate["stage"] < min(state.stage, len(stages)) - 1:
            self._load_model(self.job.candidate_path)
            chosen = stages[state.candidate["stage"]].name
            state.notes.append(f"chosen on validation: the model after stage {chosen!r}")

    def _fit(self, stage: Stage) -> StageResult:
        state, config = self.state, self.config
        choosing = state.phase == 0 and self.job.has_validation
        keep_best = choosing and (stage.select == "best" or config.patience is not None)
        if self.bar is not None:
            self.bar.is_fast = self.data.is_fast(stage, state)
        dataset, score = self.data.training(stage, state, choosing)
        settings = StageSettings(
            seed=config.seed,
            number=self.job.stage_number(self.state),
            rank=self.distributed.rank,
            plan=self._plan,
            first_step=state.step,
            optimizer_state=state.optimizer_state,
            keep_best=keep_best,
            patience=config.patience,
            score=score if choosing else None,
            log=self.log,
            bar=self.bar,
            label=self._label(stage),
            epochs_before=self._epochs_before(),
            keep_snapshot=partial(self._keep_snapshot, stage) if self.distributed.rank == 0 else None,
            attack=self.job.attack(state),
            balanced=self.job.source(state).labels if config.balanced_sampling else None,
        )
        return train_stage(
            self.model,
            stage,
            dataset,
            settings,
            self.distributed,
            path=self.job.stage_path,
            resume=self.stage_checkpoint is not None,
            restored=self.restored,
            workers=config.workers if isinstance(dataset, ImageDataset) else 0,
            precision=config.precision,
            every=config.checkpoint_every_steps,
            interrupts=self.interrupts,
        )

    def _keep_snapshot(self, stage: Stage, epoch: int) -> None:
        """Write a snapshot of the prototypes, numbered by the epochs done in all stages."""
        if due(epoch, stage.epochs):
            write_snapshot(self.model, self.job.folder, self._epochs_before() + epoch)

    def _epochs_before(self) -> int:
        return sum(stage.epochs for stage in self.job.recipe_of(self.state).stages[: self.state.stage])

    def _save_state(self) -> None:
        """Write the state to the disk; the other processes read what the first one wrote."""
        if self.distributed.rank == 0:
            self.state.copy_from(self.model)
            self.state.save(self.job.state_path)
        self.distributed.wait()
        if self.distributed.rank > 0:
            self.state = RunState.load(self.job.state_path)
            self.state.load_into(self.model)
            self.model.to(self.distributed.device)
        self.distributed.wait()  # the first must not write the next state before the others have read this

    def _load_model(self, path: Path) -> None:
        self.distributed.wait()
        content = load_checkpoint(path)
        self.state.model, self.state.facts = content["model"], content["facts"]
        self.state.load_into(self.model)
        self.model.to(self.distributed.device)

    def _score(self, reference: ReferenceCounts | None = None) -> Score | None:
        return self.data.validate(self.state, reference) if self.job.has_validation else None

    def _reference(self) -> ReferenceCounts:
        if isinstance(self.model, PrototypeModel) and not bool(self.model.prototypes.owners.any()):
            self.model.assign_owners()  # some methods do it after training only; what is changed is not kept
        return ReferenceCounts(self.model)

    @property
    def _plan(self) -> Plan:
        return self.job.plan(self.state, self.distributed)

    def _label(self, stage: Stage) -> dict[str, Any]:
        return {"phase": "refit" if self.state.phase else "train", "stage": stage.name}

    def _read_stage_checkpoint(self) -> StageRecord | None:
        """Return our part of the checkpoint within the stage; None if there is none of this stage."""
        if not self.job.stage_path.exists():
            return None
        checkpoint = read_record(self.job.stage_path)
        current = checkpoint["number"] == self.job.stage_number(self.state) and self.state.done == 0
        return checkpoint if current else None
