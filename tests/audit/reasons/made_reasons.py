"""Models whose similarities are written by hand, so that a test knows what an attack can do."""

from __future__ import annotations

import numpy as np
import torch

from resemblance.audit.audit_runner import run_checks
from resemblance.audit.audited import AuditSettings, AuditSubject
from resemblance.config.image import ImageSpec
from resemblance.config.method import MethodConfig
from resemblance.config.model import ModelSpec
from resemblance.core.output import Evidence, Output
from resemblance.data import ArraySource
from resemblance.methods.base import PrototypeMethod
from resemblance.prototypes.layer import PrototypeLayer

SIZE = 16
EPS = 8 / 255


class HandMade(PrototypeMethod):
    """Similarities (B, P) by a function of the images; weight × similarity."""

    name = "hand-made"

    def __init__(self, similarities, weights, owners=None):
        weights = torch.as_tensor(weights, dtype=torch.float32)
        classes = tuple(f"class {c}" for c in range(len(weights)))
        super().__init__(MethodConfig(), ModelSpec(classes, ImageSpec(SIZE, SIZE, 1, (0.0,), (1.0,))))
        self.prototypes = PrototypeLayer(weights.T > 0 if owners is None else owners)
        self.register_buffer("weights", weights)
        self.similarities = similarities

    def latents(self, images):
        return images

    def head(self, latents):
        similarities = torch.stack(self.similarities(latents), dim=1)
        return Output(similarities @ self.weights.T, similarities, latents)

    def evidence(self, output, classes):
        weights = self.weights[classes]
        prototypes = torch.arange(len(self.prototypes))
        return Evidence(weights * output.similarities, weights.new_zeros(len(classes)), prototypes, weights)


def tilt(images):
    """Left minus right half, which grows by 2 EPS under an attack, and hardly under noise: (B,)."""
    half = images.shape[3] // 2
    return images[..., :half].mean(dim=(1, 2, 3)) - images[..., half:].mean(dim=(1, 2, 3))


def even(images, value):
    """The same value for all images, (B,), with a gradient of zero."""
    return value + 0 * images.mean(dim=(1, 2, 3))


def greys(count=12, seed=0, low=60, high=200):
    """Images of grey noise that are the same to the left and to the right."""
    half = np.random.default_rng(seed).integers(low, high, (count, SIZE, SIZE // 2, 1), dtype=np.uint8)
    return ArraySource(
        np.concatenate([half, half], axis=2), np.zeros(count, np.int64), ("class 0", "class 1")
    )


def audit(model, name, images=None, foreign=None, folder=None, **settings):
    """The finding of one check."""
    settings = AuditSettings(**{"attacked": 8, "steps": 10, "batch_size": 5, "examples": 2, **settings})
    subject = AuditSubject(
        "run", model.eval(), greys() if images is None else images, settings=settings, foreign=foreign
    )
    result = run_checks(subject, [name], folder=folder)
    assert not result.left_out, result.left_out
    return result.findings[0]
