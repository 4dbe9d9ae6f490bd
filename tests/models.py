"""Small untrained models of any method, images for them, and noise to train on."""

from __future__ import annotations

import numpy as np
import torch

from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.data import ArraySource
from resemblance.methods.registry import build


def spec_of(classes=3, size=28, channels=1, mean=0.5, std=0.25):
    """Describe a number of classes, and images of a size, square where it is one number."""
    height, width = (size, size) if isinstance(size, int) else size
    image = ImageSpec(height, width, channels, (mean,) * channels, (std,) * channels)
    return ModelSpec(tuple(f"class {c}" for c in range(classes)), image)


def make(method, classes=3, size=28, channels=1, *, seed=0, mean=0.5, std=0.25, **config):
    """Make a model, the same one for the same seed."""
    torch.manual_seed(seed)
    return build(method, config, spec_of(classes, size, channels, mean, std))


def batch(model, count=4, seed=0):
    """Make random images for a model, and labels."""
    image = model.spec.image
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, image.channels, image.height, image.width, generator=generator)
    return images, torch.arange(count) % model.spec.num_classes


def noise_for(model, count=24, seed=0):
    """Make training images of noise, of one class after the other."""
    image = model.spec.image
    shape = (count, image.height, image.width, image.channels)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return ArraySource(pixels, np.arange(count) % model.spec.num_classes, model.spec.classes)
