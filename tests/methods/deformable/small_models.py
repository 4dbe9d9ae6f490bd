"""Small models that the tests of Deformable ProtoPNet share, and a plain re-implementation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.methods.registry import build

VARIANTS = pytest.mark.parametrize("variant", ["paper", "released"])


def make(classes=3, size=28, channels=1, moving=0.0, **config):
    """Make a model whose offsets are about ``moving`` cells."""
    image = ImageSpec(size, size, channels, (0.5,) * channels, (0.25,) * channels)
    spec = ModelSpec(tuple(f"class {c}" for c in range(classes)), image)
    torch.manual_seed(0)
    settings = {"encoder": "small", "prototypes_per_class": 2, "offset_channels": 4, "upsample": 1, **config}
    model = build("deformable", settings, spec)
    if moving:
        for layer in (model.offsets[0], model.offsets[2]):
            nn.init.normal_(layer.weight, std=0.05)
            nn.init.normal_(layer.bias, std=moving)
    return model


def glass(vectors, classes=2, variant="paper", parts=2):
    """Make a model for raw maps of depth D; all parts of prototype j are the vector j of (P, D)."""
    count, depth = vectors.shape
    settings = {"addon": "regular", "prototype_depth": depth, "parts": parts, "variant": variant}
    model = make(classes, prototypes_per_class=count // classes, **settings)
    with torch.no_grad():
        model.prototypes.vectors[:, :depth] = vectors[:, :, None, None]
    return model.eval()


def see(model, z, offsets=None):
    """Return the latents of a raw map (B, D, H, W) with these offsets (B, 2ρ, h, w), by default 0."""
    z = model.prototypes.unit_vectors(z)
    height, width = model.prototypes.grid(z)
    if offsets is None:
        offsets = z.new_zeros(len(z), 2 * model.config.parts**2, height, width)
    return torch.cat([z, F.pad(offsets, (0, z.shape[3] - width, 0, z.shape[2] - height))], dim=1)


def plain_read(z, offsets, window, part, parts):
    """Return what a part of a window reads from one map z (E, H, W)."""
    (a, b), (m, n) = window, part
    index = 2 * (m * parts + n)
    y = a - 1 + 2 * m + offsets[index, a, b].item()
    x = b - 1 + 2 * n + offsets[index + 1, a, b].item()
    total = torch.zeros(z.shape[0])
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < z.shape[1] and 0 <= column < z.shape[2]:
                total += (1 - abs(y - row)) * (1 - abs(x - column)) * z[:, row, column] ** 2
    return total.sqrt()
