"""Sampling, evidence and states of ProtoVAE."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import resemblance
from methods.protovae.small_models import make
from models import batch
from resemblance.config.errors import UserError


def test_z_is_sampled_in_training_only_and_never_in_the_released_variant():
    for config, samples in (
        ({}, True),
        ({"sample": False}, False),
        ({"variant": "released"}, False),
        ({"variant": "released", "sample": True}, True),
    ):
        model = make(**config)
        images, _ = batch(model, 8)
        output = model(images)
        assert torch.equal(output.extras["z"], output.extras["mu"]) is not samples
        model.eval()
        output = model(images)
        assert torch.equal(output.extras["z"], output.extras["mu"])
        assert torch.equal(output.scores, model(images).scores)


def test_samples_have_the_means_and_deviations_of_the_encoder():
    model = make().train()
    latents = torch.cat([torch.full((4000, 6), 2.0), torch.full((4000, 6), 2 * math.log(0.5))], dim=1)
    z = model.head(latents).extras["z"]
    assert z.mean().item() == pytest.approx(2.0, abs=0.02)
    assert z.std().item() == pytest.approx(0.5, abs=0.02)
    largest = model.head(torch.cat([torch.zeros(2, 6), torch.full((2, 6), 1e9)], dim=1)).extras["logvar"]
    assert largest.max().item() == pytest.approx(math.log(1e8), rel=1e-6)


def test_normalisation_of_the_data_is_not_used():
    model, other = make().eval(), make().eval()
    other.normalize.mean.fill_(7.0)
    images, _ = batch(model)
    assert torch.equal(model(images).scores, other(images).scores)


def test_evidence_is_weight_times_similarity_also_of_a_sampled_z():
    model = make(5)
    images, _ = batch(model, 6)
    for training in (True, False):
        output = model.train(training)(images)
        for c in range(5):
            evidence = model.evidence(output, torch.full((6,), c))
            assert torch.equal(evidence.contributions, model.last.weight[c] * output.similarities)
            assert torch.allclose(evidence.contributions.sum(1), output.scores[:, c], rtol=1e-5, atol=1e-6)
            assert not evidence.bias.any()


def test_match_measures_the_mean():
    model = make().eval()
    images, _ = batch(model)
    output = model(images)
    match = model.prototypes.match(output.latents)
    assert torch.allclose(model.prototypes.activation(match.values), output.similarities, rtol=1e-4)
    released = make(variant="released").eval()
    output = released(images)
    assert torch.allclose(
        released.prototypes.activation(released.prototypes.match(output.latents).values), output.similarities
    )
    assert torch.equal(model.embed(output.latents), output.extras["mu"])


def test_bfloat16_leaves_the_head_in_float32():
    model = make().eval()
    images, labels = batch(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(images)
        losses = model.loss(output, labels)
    assert output.scores.dtype == output.latents.dtype == torch.float32
    assert torch.equal(output.similarities, model.prototypes(output.extras["z"]).similarities)
    assert all(term.dtype == torch.float32 for term in losses.values())


def test_a_batch_of_one_image_is_refused_with_advice():
    model = make()
    with pytest.raises(UserError, match="--batch-size 2"):
        model(batch(model, 1)[0])


# States.


def test_snapshots_leave_the_model_as_it_was():
    model = make().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    snapshot = model.snapshot()["prototypes"]
    assert snapshot.shape == (6, 28, 28, 1)
    assert snapshot.dtype == np.uint8
    assert model.training
    assert all(
        torch.equal(before[name].nan_to_num(7), t.nan_to_num(7)) for name, t in model.state_dict().items()
    )
    model.eval()
    images, _ = batch(model, 1)
    assert torch.equal(model.decode(model.embed(model.latents(images))), model.reconstruct(images))


def test_kept_prototypes_keep_their_weights_and_survive_saving(tmp_path):
    model = make(4).eval()
    kept = torch.tensor([1, 4, 7])
    vectors, weights = model.prototypes.vectors[kept].clone(), model.last.weight[:, kept].clone()
    model.keep(kept)
    assert torch.equal(model.prototypes.vectors, vectors)
    assert torch.equal(model.last.weight, weights)
    images, labels = batch(model)
    assert sum(model.loss(model(images), labels).values()).isfinite()  # one class has lost its prototypes
    model.save(tmp_path / "model")
    twin = resemblance.load(tmp_path / "model")
    assert torch.equal(twin(images).scores, model(images).scores)
    assert torch.equal(twin.decode(twin.prototypes.vectors), model.decode(model.prototypes.vectors))


def test_training_lowers_the_loss_and_names_the_nearest_images(trained):
    model, result, _ = trained("protovae")
    losses = [row["train/loss"] for row in result.history]
    assert losses[-1] < losses[0]
    assert (model.prototypes.source_index >= 0).all()
