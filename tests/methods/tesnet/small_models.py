"""Small models that the tests of TesNet share."""

from __future__ import annotations

from functools import partial

import torch

import models

make = partial(models.make, "tesnet", encoder="small", prototypes_per_class=2, prototype_depth=8)


def glass(vectors, classes=2, per_class=1, **config):
    """Make a model whose latent map is the image."""
    model = make(classes, prototypes_per_class=per_class, prototype_depth=vectors.shape[1], **config)
    model.latents = lambda images: images
    with torch.no_grad():
        model.prototypes.vectors.copy_(vectors.reshape(model.prototypes.vectors.shape))
    return model.eval()
