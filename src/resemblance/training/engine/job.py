"""The parts of a run: the model, the images, the recipe and the paths of its files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resemblance.config.training import TrainConfig
from resemblance.core.class_weights import balanced_weights
from resemblance.core.classifier import Classifier
from resemblance.core.recipe import Recipe
from resemblance.data.augment import get_augment
from resemblance.data.batch import Batch
from resemblance.data.compress import JpegAugment
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import loader
from resemblance.data.sources.joined import Joined
from resemblance.data.sources.source import DataSplits, Source
from resemblance.training.attacks.adversarial_training import FastAttack
from resemblance.training.cached.temporary_latents import TemporaryLatents
from resemblance.training.engine.checkpoints import STAGE
from resemblance.training.engine.devices import DistributedContext
from resemblance.training.engine.order import Plan, plan
from resemblance.training.engine.state import RunState

# Stages of the second phase have numbers of their own, and so other random draws.
PHASE_OFFSET = 1000


@dataclass
class Job:
    """Everything that a process needs to take part in a run; it also keeps the latents of the trained encoder."""

    model: Classifier
    splits: DataSplits
    folder: Path
    config: TrainConfig
    recipe: Recipe
    identity: dict[str, Any]

    def __post_init__(self) -> None:
        self.latents = TemporaryLatents(self.config.latent_cache, self.evaluated_at_once)

    @property
    def evaluated_at_once(self) -> int:
        """The images of a batch where nothing is trained."""
        return min(self.recipe.batch_size, 256)

    @property
    def state_path(self) -> Path:
        """The file of the state between stages."""
        return self.folder / "checkpoints" / "run.ckpt"

    @property
    def stage_path(self) -> Path:
        """The file of Lightning's checkpoint within a stage."""
        return self.folder / "checkpoints" / STAGE

    @property
    def candidate_path(self) -> Path:
        """The file of the best candidate so far."""
        return self.folder / "checkpoints" / "candidate.ckpt"

    @property
    def start_path(self) -> Path:
        """The file of the model before training, which refitting on all images needs."""
        return self.folder / "checkpoints" / "start.ckpt"

    @property
    def has_validation(self) -> bool:
        """Whether there are validation images."""
        return len(self.splits.val) > 0

    def source(self, state: RunState) -> Source:
        """Return the images to train on."""
        splits = self.splits
        return splits.train if state.phase == 0 else Joined(splits.train, splits.val)

    def plan(self, state: RunState, distributed: DistributedContext) -> Plan:
        """Return how an epoch is divided."""
        images = len(self.splits.train) + (len(self.splits.val) if state.phase else 0)
        return plan(images, self.recipe.batch_size, distributed.world, self.config.accumulate)

    def stage_number(self, state: RunState) -> int:
        """Return the number of the current stage among those of both phases."""
        return state.phase * PHASE_OFFSET + state.stage

    @property
    def same_images(self) -> bool:
        """Whether a training image is the same in every epoch: nothing augments, compresses or attacks it.

        Only then can what the model computes for it, its latents or its output, be computed once.
        """
        return self.recipe.augment == "none" and not self.config.remedy and not self.splits.train.varied

    def attack(self, state: RunState) -> FastAttack | None:
        """Return the attack of adversarial training in the current stage; None without it."""
        config = self.config
        if config.adversarial == "none":
            return None
        eps, step = config.adversarial_eps / 255, config.adversarial_step / 255
        return FastAttack(eps, step, config.seed, self.stage_number(state))

    def class_weights(self, state: RunState, device: torch.device) -> Tensor | None:
        """Return the weights (C,) of the classes in the loss, by the images of the phase; None if all count alike."""
        if self.config.class_weights == "none":
            return None
        return balanced_weights(self.source(state).labels, self.model.spec.num_classes).to(device)

    def training_set(self, state: RunState) -> ImageDataset:
        """Return the augmented images of the current stage."""
        return ImageDataset(
            self.source(state),
            self.model.spec.image,
            augment=get_augment(self.recipe.augment),
            seed=self.config.seed,
            stage=self.stage_number(state),
            jpeg=JpegAugment(self.config.jpeg_augment, self.config.jpeg_quality),
            views=True,
        )

    def validation_batches(self, distributed: DistributedContext) -> Iterable[Batch]:
        """Return a loader of this process's share of the validation images."""
        dataset = ImageDataset(self.splits.val, self.model.spec.image)
        batches = loader(dataset, self.evaluated_at_once, workers=self.config.workers)
        return batches.share(distributed.rank, distributed.world)

    def recipe_of(self, state: RunState) -> Recipe:
        """Return the recipe; in the second phase, up to the chosen stage and with the chosen numbers of epochs."""
        recipe = self.recipe
        if state.phase == 0:
            return recipe
        last = len(recipe.stages) if state.candidate is None else state.candidate["stage"] + 1
        stages = zip(recipe.stages[:last], state.epochs, strict=False)
        return replace(recipe, stages=tuple(replace(stage, epochs=epochs) for stage, epochs in stages))
