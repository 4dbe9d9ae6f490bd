"""Small models that the tests of ProtoPShare share, and their inputs."""

from __future__ import annotations

from functools import partial

import torch

import models
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.data.batch import Batch
from resemblance.methods.protopshare.merging import PairwiseDifferences
from resemblance.methods.registry import build
from tiny import CLASSES

IMAGE = ImageSpec(16, 16, 1, (0.3,), (0.35,))
SHORT = {"warm_epochs": 1, "joint_epochs": 1, "push_every": 2, "tune_epochs": 1, "last_epochs": 1}
make = partial(models.make, "protopshare", encoder="small", prototypes_per_class=2, prototype_depth=8)


def for_digits(method="protopshare", seed=0, **config):
    torch.manual_seed(seed)
    config = {"encoder": "small", "prototypes_per_class": 2, "prototype_depth": 8, **SHORT, **config}
    if method == "protopnet":
        del config["tune_epochs"]
    return build(method, config, ModelSpec(CLASSES, IMAGE))


def batches_of(images, labels, size=2):
    order = torch.arange(len(images))
    return [Batch(images[part], labels[part], part) for part in order.split(size)]


def differences_of(columns):
    pairs = PairwiseDifferences()
    for part in torch.as_tensor(columns, dtype=torch.float64).split(2):
        pairs.update(part)
    return pairs.differences()
