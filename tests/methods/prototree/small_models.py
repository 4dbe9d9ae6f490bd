"""Small models that the tests of ProtoTree share, and their inputs."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

import models
from resemblance.core.output import Output
from resemblance.core.training_step import TrainingStep
from resemblance.data import ArraySource

STEP = TrainingStep("all", 0, 1, 0, 0, 2)
make = partial(models.make, "prototree", size=16, encoder="small", depth=3, prototype_depth=8)


def scattered(model):
    """Move prototypes near the patches and make leaves unequal, so that no probability is near 0 or 1."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        model.counts.copy_(2 * torch.rand(model.counts.shape, generator=generator))
        mean = model.eval().latents(torch.rand(4, *input_shape(model), generator=generator)).mean((0, 2, 3))
        noise = 0.3 * torch.randn(model.prototypes.vectors.shape, generator=generator)
        model.prototypes.vectors.copy_(mean[None, :, None, None] + noise)
    return model


def input_shape(model):
    return (model.spec.image.channels, *model.spec.image.size)


def by_hand(present, leaves, log=False):
    """Return a model with these leaves, and its output for these presences."""
    model = make(classes=len(leaves[0]), depth=len(leaves).bit_length() - 1, log_probabilities=log)
    with torch.no_grad():
        model.counts.copy_(torch.tensor(leaves))
    present = torch.tensor(present)
    paths = model.tree.paths(present, 1 - present)
    mixture = paths @ model.counts.softmax(1)
    extras = {"paths": paths, "mixture": mixture, "log_paths": paths.log(), "log_mixture": mixture.log()}
    return model, Output(mixture, present, torch.zeros(len(present), 1), extras)


def source(count=48, seed=0, classes=3):
    """Make noise with a bright row that depends on the class; of four classes, class 1 has no images."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    labels[labels == 1] = 1 if classes == 3 else 3
    pixels = generator.integers(0, 60, (count, 16, 16, 1), dtype=np.uint8)
    pixels[np.arange(count), 4 * labels + 2] += 180
    return ArraySource(pixels, labels, tuple(f"class {c}" for c in range(classes)))
