"""The images of a run as its stages read them: as pixels, as kept latents, or as outputs computed once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from functools import cached_property, partial
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from resemblance.core.class_weights import balanced_weights
from resemblance.core.recipe import Stage
from resemblance.core.reference_counts import ReferenceCounts
from resemblance.data.batch import Batch, EncodedBatch
from resemblance.data.loader import loader
from resemblance.printing.lines import FolderWarning
from resemblance.training.cached.cached_outputs import CachedBatch, CachedOutputs, can_cache_outputs
from resemblance.training.cached.encoded_images import EncodedBatches, EncodedImages
from resemblance.training.cached.frozen_encoder import FrozenEncoder, bytes_per_image, weights_of
from resemblance.training.cached.latent_cache import GIGABYTE, LatentCache
from resemblance.training.engine.devices import DistributedContext
from resemblance.training.engine.job import Job
from resemblance.training.engine.state import RunState
from resemblance.training.engine.validation import Score, autocast, validate

Batches = Iterable[Batch | EncodedBatch | CachedBatch]


class StageData:
    """Decides what is computed once. It depends on the job and the state alone, so that a resumed run does the same.

    While the encoder does not change, its latents are kept: for later runs as long as no stage has trained it, then for
    this run. They are found by its weights: those of other weights are never read.

    Args:
        job: the model, the images and the recipe.
        distributed: the processes of the run; with several, nothing is kept.
    """

    def __init__(self, job: Job, distributed: DistributedContext) -> None:
        self.job, self.distributed, self.model = job, distributed, job.model
        self._lasting = LatentCache.of_user(job.config.latent_cache)
        self._encoder = ""  # the hash of the weights to which these sets belong
        self._sets: dict[tuple[int, str, bool], EncodedImages] = {}

    def is_fast(self, stage: Stage, state: RunState) -> bool:
        """Check whether the stage trains without running the encoder in each step."""
        return self._caches_outputs(stage, state) or self._trains_on_latents(stage)

    def training(
        self, stage: Stage, state: RunState, choosing: bool
    ) -> tuple[Dataset[Any], Callable[[], Score]]:
        """Return the training images of a stage, and its validation."""
        if self._trains_encoder(stage):
            self._forget()
        if self._caches_outputs(stage, state):
            return self._cached_outputs(state, choosing)
        validation: Batches = self._validation_images
        if choosing and not self._trains_encoder(stage):
            validation = self._validation(state)
        score = partial(self._validate, validation)
        if self._trains_on_latents(stage):
            return self._encoded(state, "training" if self.job.recipe.augment == "none" else "views"), score
        return self.job.training_set(state), score

    def end_actions(self, state: RunState) -> Callable[[int], EncodedBatches] | None:
        """Return how end actions read the kept latents of the training images; None if there are none."""
        if not self._keeps_latents:
            return None
        return lambda size: self._encoded(state, "training", exact=True).batches(size)

    def validate(self, state: RunState, reference: ReferenceCounts | None = None) -> Score:
        """Measure the model after a stage on the validation images, and collect the reference of its similarities."""
        return self._validate(self._validation(state), reference)

    def _validate(self, batches: Batches, reference: ReferenceCounts | None = None) -> Score:
        device = self.distributed.device
        context = autocast(self.job.config.precision, device)
        return validate(self.model, batches, device, context, reference, self._weights)

    def _validation(self, state: RunState) -> Iterable[Batch | EncodedBatch]:
        """Return the validation images, while the encoder does not change."""
        if self.model.trains_on_encoded and self._keeps_latents:
            return self._encoded(state, "validation").batches(self.job.evaluated_at_once)
        return self._validation_images

    def _cached_outputs(self, state: RunState, choosing: bool) -> tuple[CachedOutputs, Callable[[], Score]]:
        """Return the cached outputs of all training images, and a validation that also uses cached outputs."""
        config, size = self.job.config, self.job.evaluated_at_once
        batches: Iterable[Batch | EncodedBatch] = loader(self.job.training_set(state), size, config.workers)
        if self.model.trains_on_encoded and self._keeps_latents:
            batches = self._encoded(state, "training").batches(size)
        context = partial(autocast, config.precision, self.distributed.device)
        training = CachedOutputs(self.model, batches, context())
        cached = []
        if choosing:
            cached = CachedOutputs(self.model, self._validation(state), context()).batches(1024)
        return training, lambda: self._validate(cached)

    def _caches_outputs(self, stage: Stage, state: RunState) -> bool:
        images = len(self.job.source(state))
        possible = self.distributed.world == 1 and self.job.same_images
        return possible and can_cache_outputs(self.model, stage, images)

    def _trains_on_latents(self, stage: Stage) -> bool:
        trained = stage.epochs > 0 and bool(stage.groups)
        stored = self.job.config.stored_views is not None and not self.job.splits.train.varied
        varied = not self.job.same_images and not stored
        lasts = self.model.trains_on_encoded and self._lasts(stage.name)
        return trained and not varied and lasts and self._keeps_latents

    @property
    def _keeps_latents(self) -> bool:
        """Whether latents are kept while the encoder does not change."""
        possible = self.model.encodes and self.distributed.world == 1 and self.job.config.latent_cache > 0
        return possible and self._fit

    def _trains_encoder(self, stage: Stage) -> bool:
        return bool(stage.epochs and self.model.traits.encoder_groups & stage.groups.keys())

    def _lasts(self, name: str) -> bool:
        """Check whether a stage and all before it leave the encoder as it is."""
        stages = self.job.recipe.stages
        count = 1 + [stage.name for stage in stages].index(name)
        return not any(self._trains_encoder(stage) for stage in stages[:count])

    def _forget(self) -> None:
        """Free what belongs to an encoder that has changed."""
        self._sets.clear()
        self.job.latents.clear()

    def _encoded(self, state: RunState, part: str, exact: bool = False) -> EncodedImages:
        """Return the latents of the ``training`` images, of their ``views``, or of the ``validation`` images.

        Args:
            state: of the stage.
            part: the images.
            exact: whether they are computed in full precision, as end actions need them, instead of that of training.
        """
        config, augment, views = self.job.config, "none", 1
        exact = exact or config.precision == "32-true"
        if part == "views":
            augment, views = self.job.recipe.augment, config.stored_views or 1
        if (weights := weights_of(self.model)) != self._encoder:
            self._forget()
            self._encoder = weights
        if (key := (state.phase, part, exact)) not in self._sets:
            context = nullcontext if exact else partial(autocast, config.precision, self.distributed.device)
            stages = self.job.recipe.stages
            lasts = self._lasts(stages[min(state.stage, len(stages) - 1)].name)
            latents = self._lasting if lasts else self.job.latents
            encoder = FrozenEncoder(self.model, latents, context, config.workers, config.progress)
            source = self.job.splits.val if part == "validation" else self.job.source(state)
            self._sets[key] = encoder.encode(source, augment, views, config.seed)
        return self._sets[key]

    @cached_property
    def _fit(self) -> bool:
        """Whether the latents of the run are within the budget."""
        config, train, val = self.job.config, len(self.job.splits.train), len(self.job.splits.val)
        images = train + val
        if self.job.recipe.augment != "none" and config.stored_views is not None:
            images += config.stored_views * (train + config.refit_on_all * val)
        with autocast(config.precision, self.distributed.device):
            needed = images * bytes_per_image(self.model)
        if config.precision != "32-true":  # end actions read them in full precision, too
            needed += (train + config.refit_on_all * val) * bytes_per_image(self.model)
        fit = needed <= config.latent_cache * GIGABYTE
        if not fit:
            warnings.warn(
                f"the latents of the encoder need {needed / GIGABYTE:.1f} GB, more than "
                f"--latent-cache {config.latent_cache:g}: they are computed whenever they are needed",
                FolderWarning,
                stacklevel=2,
            )
        return fit

    @cached_property
    def _weights(self) -> Tensor | None:
        """The weights of the classes in the accuracy by which epochs are chosen; None if all images count alike."""
        if not self.job.config.balanced:
            return None
        return balanced_weights(self.job.splits.val.labels, self.model.spec.num_classes)

    @cached_property
    def _validation_images(self) -> Iterable[Batch]:
        return self.job.validation_batches(self.distributed)
