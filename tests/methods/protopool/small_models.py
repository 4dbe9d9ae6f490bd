"""Small models that the tests of ProtoPool share."""

from __future__ import annotations

from functools import partial

import torch
from torch.nn import functional as F

import models

make = partial(models.make, "protopool", encoder="small", slots=2, prototypes=7, prototype_depth=8)


def assign(model, assigned):
    """Let the slots hold these prototypes (C, K)."""
    with torch.no_grad():
        model.slots.logits.copy_(F.one_hot(torch.tensor(assigned), len(model.prototypes)).float())
