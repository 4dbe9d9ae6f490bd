"""Refuse batches of which batch norm cannot compute a variance, before anything is trained."""

from __future__ import annotations

import copy

import torch

from resemblance.config.errors import UserError
from resemblance.config.training import TrainConfig
from resemblance.core.classifier import Classifier
from resemblance.core.recipe import Recipe
from resemblance.training.engine.module import train_mode
from resemblance.training.engine.optimizers import freeze_others
from resemblance.training.engine.order import plan

IN_TORCHS_WORDS = "more than 1 value per channel"


def check_batch_norm(model: Classifier, recipe: Recipe, images: int, config: TrainConfig) -> None:
    """Check that batch norm has more than one value per channel in every step of training.

    It has only one if a process reads one image at a time and the map has one cell. Only then is the model tried, by a
    copy in training mode.

    Args:
        model: the model, which stays unchanged.
        recipe: with the batch size and the stages.
        images: the number of training images.
        config: ``devices`` and ``accumulate``.

    Raises:
        UserError: naming the options that solve this.
    """
    planned = plan(images, recipe.batch_size, config.devices, config.accumulate)
    if planned.micro != 1:
        return
    tried, spec = copy.deepcopy(model), model.spec.image
    for stage in recipe.stages:
        if not (stage.epochs and stage.groups):
            continue
        freeze_others(tried, stage)
        train_mode(tried)
        try:
            with torch.no_grad(), torch.random.fork_rng():
                tried(torch.rand(1, spec.channels, *spec.size))
        except ValueError as error:
            if IN_TORCHS_WORDS not in str(error):
                raise
            parts = config.devices * config.accumulate
            split = [f"{config.devices} devices"] if config.devices > 1 else []
            split += [f"{config.accumulate} micro-batches"] if config.accumulate > 1 else []
            divided = f" divided into {' × '.join(split)}" if split else ""
            least = 2 * parts
            cure = f"give --batch-size {least}" + (
                " or more" if images >= least else f", and at least {least} images"
            )
            raise UserError(
                f"a batch of {planned.batch}{divided} leaves batch norm one value per channel, since the map of "
                f"{spec.height}x{spec.width} images has one cell: {cure}, or a larger --image-size"
            ) from None
