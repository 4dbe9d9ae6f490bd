"""Weights for the small encoder, models that start from them, and a count of the images that an encoder reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cases import SPEC
from resemblance.config.encoder import EncoderConfig
from resemblance.encoders.build import build_encoder
from resemblance.encoders.small import SmallEncoder
from resemblance.methods.registry import build

SETTINGS = {
    "blackbox": {},
    "kmex": {"prototypes_per_class": 2},
    "protopnet": {"prototypes_per_class": 2, "prototype_depth": 8, "last_epochs": 4, "joint_epochs": 6},
    "tesnet": {"prototypes_per_class": 2, "prototype_depth": 8, "last_epochs": 4, "joint_epochs": 6},
    "deformable": {"prototypes_per_class": 2, "parts": 2, "last_epochs": 4},
    "protopool": {"prototypes": 20, "prototype_depth": 8, "last_epochs": 4, "mixup": False},
    "prototree": {"depth": 4, "prototype_depth": 8, "frozen_epochs": 4, "joint_epochs": 8},
}


def weights_file(folder: Path) -> Path:
    """Write weights of the small encoder, without a head."""
    torch.manual_seed(7)
    encoder = build_encoder(EncoderConfig(encoder="small"), SPEC.image, None)
    path = folder / "small.pt"
    torch.save(encoder.state_dict(), path)
    return path


def made_with_weights(method: str, folder: Path, seed: int = 0, least: int = 6, **config):
    """Make a model on the small encoder with weights, whose frozen stages make at least so many steps."""
    path = weights_file(folder)
    torch.manual_seed(seed)
    model = build(method, {"encoder": "small", "weights": str(path), **SETTINGS[method], **config}, SPEC)
    recipe = model.recipe()
    stages = [replace(stage, least_steps=min(stage.least_steps, least)) for stage in recipe.stages]
    shorter = replace(recipe, stages=tuple(stages))
    model.recipe = lambda: shorter
    return model


@contextmanager
def counting_images() -> Iterator[list[int]]:
    """Count the images of each pass through a small encoder."""
    original, counts = SmallEncoder.features, []

    def features(self, images):
        counts.append(len(images))
        return original(self, images)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SmallEncoder, "features", features)
        yield counts
