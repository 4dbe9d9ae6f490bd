"""Every method: the answer to an image does not depend on the batch, even beside a prototype."""

from __future__ import annotations

import pytest
import torch

from cases import SPEC, VARIANTS
from resemblance.data import ImageDataset, loader
from resemblance.methods.registry import build
from resemblance.prototypes.vectors import VectorPrototypes
from resemblance.training.ends.projection import project
from tiny import digits

IMAGES = 100
# The similarities of these variants are logarithms of the distance, not of its square: they change by up to 1/ε times
# the change of an embedding.
ROOTS = {"kmex released": 1e4, "protovae released": 1e4}
STEEPEST = 100.0  # of all others: 1/√ε


def put_prototypes_on_images(model, batches):
    """Project the prototypes, or let them be the embeddings, or patches, of images."""
    if model.traits.projects:
        project(model, batches)
        return
    compared = torch.cat([model.prototypes.compared(model.latents(batch.images)) for batch in batches])
    if model.prototypes.has_maps:
        compared = compared.permute(0, 2, 3, 1).flatten(0, 2)[::7, :, None, None]
    model.prototypes.vectors.copy_(compared[: len(model.prototypes)])


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_an_image_has_the_same_answer_alone_and_in_a_batch(variant):
    method, settings = VARIANTS[variant]
    torch.manual_seed(0)
    model = build(method, settings, SPEC)
    dataset = ImageDataset(digits(IMAGES).train, SPEC.image)
    images = next(iter(loader(dataset, IMAGES))).images
    model.train()(images)  # batch norm's statistics
    model.eval()
    prototypes = getattr(model, "prototypes", None)
    vectors = isinstance(prototypes, VectorPrototypes)
    if vectors:
        put_prototypes_on_images(model, list(loader(dataset, 32)))
    together = model(images)
    for i in range(0, IMAGES, 3):
        alone = model(images[i : i + 1])
        if variant not in ROOTS:
            assert torch.allclose(alone.scores[0], together.scores[i], rtol=1e-5, atol=2e-4)
        if not vectors:
            continue
        # Similarities may differ as far as the rounding of the encoder, and their own, explains it.
        moved = (alone.latents - together.latents[i : i + 1]).flatten(2 if prototypes.has_maps else 1)
        farthest = moved.norm(dim=1).max() * prototypes.window[0]
        rounding = 1e-6 + 2e-6 * together.similarities.abs().max()
        difference = (alone.similarities[0] - together.similarities[i]).abs().max()
        assert difference <= ROOTS.get(variant, STEEPEST) * farthest + rounding
