"""Small models that the tests of PIP-Net share, and training steps."""

from __future__ import annotations

import torch

from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.core.training_step import TrainingStep
from resemblance.methods.pipnet.model import PIPNet
from resemblance.methods.registry import build


def make(classes=3, size=28, channels=1, module=None, **config):
    image = ImageSpec(size, size, channels, (0.5,) * channels, (0.25,) * channels)
    spec = ModelSpec(tuple(f"class {c}" for c in range(classes)), image)
    torch.manual_seed(0)
    return build("pipnet", {"encoder": "small", **config}, spec, module=module)


def sharp(**config) -> PIPNet:
    """Make a model whose patches have one prototype each, as after training: new ones spread over all channels."""
    model = make(prototypes=12, **config)
    with torch.no_grad():
        model.addon.weight *= 6
    return model


def step_of(stage, epoch=0, epochs=10):
    return TrainingStep(stage, epoch, epochs, before=0, step=0, steps=5)
