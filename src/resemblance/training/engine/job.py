"""What a run is about: the model, the images, the recipe and where its files are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from resemblance.config.training import TrainConfig
from resemblance.core.classifier import Classifier
from resemblance.core.recipe import Recipe
from resemblance.data.augment import get_augment
from resemblance.data.batch import Batch
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import loader
from resemblance.data.sources.joined import Joined
from resemblance.data.sources.source import DataSplits, Source
from resemblance.training.engine.devices import DistributedContext
from resemblance.training.engine.order import Plan, Shares, plan
from resemblance.training.engine.state import RunState

# Stages of the second phase have their own numbers, and so their own random draws.
PHASE = 1000


@dataclass
class Job:
    """Everything that a process needs to take part in a run."""

    model: Classifier
    splits: DataSplits
    folder: Path
    config: TrainConfig
    recipe: Recipe
    identity: dict[str, Any]

    @property
    def state_path(self) -> Path:
        """The state between stages."""
        return self.folder / "checkpoints" / "run.ckpt"

    @property
    def stage_path(self) -> Path:
        """Lightning's checkpoint within a stage."""
        return self.folder / "checkpoints" / "stage.ckpt"

    @property
    def candidate_path(self) -> Path:
        """The best candidate so far."""
        return self.folder / "checkpoints" / "candidate.ckpt"

    @property
    def start_path(self) -> Path:
        """The model before training, where it is needed again."""
        return self.folder / "checkpoints" / "start.ckpt"

    @property
    def has_validation(self) -> bool:
        """Whether there is anything to choose by."""
        return len(self.splits.val) > 0

    def source(self, state: RunState) -> Source:
        """The images to train on."""
        splits = self.splits
        return splits.train if state.phase == 0 else Joined(splits.train, splits.val)

    def plan(self, state: RunState, team: DistributedContext) -> Plan:
        """How an epoch divides."""
        images = len(self.splits.train) + (len(self.splits.val) if state.phase else 0)
        return plan(images, self.recipe.batch_size, team.world, self.config.accumulate)

    def number(self, state: RunState) -> int:
        """The stage that is under way, among those of both phases."""
        return state.phase * PHASE + state.stage

    def training_set(self, state: RunState) -> ImageDataset:
        """The augmented images of the stage that is under way."""
        return ImageDataset(
            self.source(state),
            self.model.spec.image,
            augment=get_augment(self.recipe.augment),
            seed=self.config.seed,
            stage=self.number(state),
        )

    def validation_batches(self, team: DistributedContext) -> Iterable[Batch]:
        """This process' share of the validation images."""
        dataset = ImageDataset(self.splits.val, self.model.spec.image)
        size = min(self.recipe.batch_size, 256)
        share = Shares(len(dataset), size, team.rank, team.world)
        return loader(dataset, size, workers=self.config.workers, sampler=share)

    def recipe_of(self, state: RunState) -> Recipe:
        """In the second phase: up to the chosen stage, with the chosen numbers of epochs."""
        recipe = self.recipe
        if state.phase == 0:
            return recipe
        last = len(recipe.stages) if state.candidate is None else state.candidate["stage"] + 1
        stages = zip(recipe.stages[:last], state.epochs, strict=False)
        return replace(recipe, stages=tuple(replace(stage, epochs=epochs) for stage, epochs in stages))
