"""Lengths of basis concepts in training, and maps."""

from __future__ import annotations

import torch

from methods.tesnet.small_models import make


def test_concepts_keep_unit_length_while_they_train():
    model, released = make(), make(variant="released")
    lengths = model.prototypes.vectors.detach().flatten(1).norm(dim=1)
    assert torch.allclose(lengths, torch.ones(6))
    assert not torch.allclose(released.prototypes.vectors.detach().flatten(1).norm(dim=1), torch.ones(6))
    for changed in (model, released):
        changed.prototypes.vectors.data.mul_(3)
        changed.after_step()
        assert torch.allclose(changed.prototypes.vectors.detach().flatten(1).norm(dim=1), torch.ones(6))


def test_raw_patches_stay_raw_while_only_the_last_layer_trains():
    """The authors' code normalises them too, which does not change any score."""
    for variant, kept in (("paper", True), ("released", False)):
        model = make(variant=variant)
        model.prototypes.vectors.requires_grad_(False).mul_(3)
        before = model.prototypes.vectors.clone()
        images = torch.rand(2, 1, 28, 28)
        scores = model.eval()(images).scores
        model.after_step()
        assert torch.equal(before, model.prototypes.vectors) == kept
        assert torch.allclose(scores, model(images).scores, rtol=1e-4, atol=1e-4)


def test_maps_peak_at_the_pooled_projection():
    model = make().eval()
    output = model(torch.rand(2, 1, 28, 28))
    maps = model.prototypes.maps(output.latents)
    assert torch.allclose(maps.flatten(2).amax(2), output.similarities, atol=1e-6)
    match = model.prototypes.match(output.latents)
    assert torch.equal(maps.flatten(2).argmax(2), match.cells)
    assert torch.allclose(-match.values, output.similarities)


def test_training_ends_with_raw_training_patches(trained):
    prototypes = trained("tesnet").model.prototypes
    lengths = prototypes.vectors.detach().flatten(1).norm(dim=1)
    assert (prototypes.source_index >= 0).all()
    assert not torch.allclose(lengths, torch.ones(len(lengths)), atol=1e-3)
