"""PrototypeDL against the fact sheet's values and a plain re-implementation."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import models
from contract_checks import assert_evidence
from models import batch
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.data import ImageDataset
from resemblance.data.open import open_data
from resemblance.methods.prototypedl.autoencoder import choose_architecture
from resemblance.methods.prototypedl.model import r1, r2, reconstruction_error
from resemblance.methods.registry import build
from resemblance.prototypes.similarity import pairwise_squared

make = partial(models.make, "prototypedl")


def set_usage(model):
    """Set what is counted at the end of training, with random means."""
    model.assign_owners()
    model.prototypes.mean_similarity.copy_(-torch.rand(len(model.prototypes)) * 9)


def test_r1_and_r2_have_the_fact_sheets_values():
    z = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    p = torch.tensor([[0.0, 1.0], [3.0, 0.0], [0.0, 0.0]])
    distances = pairwise_squared(z, p)
    assert torch.allclose(distances, torch.tensor([[1.0, 9.0, 0.0], [2.0, 4.0, 1.0]]))
    assert r1(distances).item() == pytest.approx(5 / 3)
    assert r2(distances).item() == pytest.approx(0.5)


def test_reconstruction_sums_over_pixels_and_averages_over_images():
    images = torch.zeros(2, 1, 4, 4)
    assert reconstruction_error(images + 0.5, images).item() == pytest.approx(4.0)


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_architecture_of_the_papers_first_study(variant):
    model = make(10, variant=variant)
    convolutions = [layer for layer in model.autoencoder.encoder if isinstance(layer, torch.nn.Conv2d)]
    sizes, latents = [], batch(model)[0]
    for layer in model.autoencoder.encoder:
        latents = layer(latents)
        if isinstance(layer, torch.nn.Conv2d):
            sizes.append(tuple(latents.shape[1:]))
    assert sizes == [(32, 14, 14), (32, 7, 7), (32, 4, 4), (10, 2, 2)]
    assert all(layer.kernel_size == (3, 3) and layer.stride == (2, 2) for layer in convolutions)
    assert model.prototypes.vectors.shape == (15, 40)
    assert ((model.prototypes.vectors >= 0) & (model.prototypes.vectors < 1)).all()
    assert model.last.weight.shape == (10, 15)
    assert model.last.bias is None
    kinds = [
        type(layer).__name__
        for part in (model.autoencoder.encoder, model.autoencoder.decoder)
        for layer in part
    ]
    hidden = "ReLU" if variant == "released" else "Sigmoid"
    assert kinds == ["Conv2d", hidden] * 4 + ["ConvTranspose2d", hidden] * 3 + ["ConvTranspose2d", "Sigmoid"]


def test_architecture_of_the_papers_second_study():
    model = make(11, (64, 64), 3, prototypes=11)
    kinds = [
        type(layer).__name__
        for part in (model.autoencoder.encoder, model.autoencoder.decoder)
        for layer in part
    ]
    assert kinds == [
        *("Conv2d", "LeakyReLU", "Conv2d", "Sigmoid"),
        *("ConvTranspose2d", "LeakyReLU", "ConvTranspose2d", "Sigmoid"),
    ]
    assert model.autoencoder.code_shape == (10, 13, 13)


@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize("architecture", ["auto", "mnist", "cars"])
@pytest.mark.parametrize(
    ("size", "channels"), [((28, 28), 1), ((32, 32), 1), ((33, 47), 3), ((64, 64), 3), ((13, 120), 3)]
)
def test_images_of_any_size_and_channels_are_reconstructed(variant, architecture, size, channels):
    model = make(2, size, channels, architecture=architecture, variant=variant)
    images, _ = batch(model, 2)
    latents = model.latents(images)
    assert latents.shape[1:] == model.autoencoder.code_shape
    assert model.reconstruct(images).shape == images.shape
    decoded = model.decode(model.prototypes.vectors)
    assert decoded.shape == (15, channels, *size)
    assert ((decoded >= 0) & (decoded <= 1)).all()


def test_images_too_small_for_cars_are_refused_with_advice():
    with pytest.raises(UserError, match=r"12x64 pixels are too small .* --image-size 13"):
        make(2, (12, 64), architecture="cars")
    assert make(2, (1, 1)).reconstruct(torch.rand(1, 1, 1, 1)).shape == (1, 1, 1, 1)


@pytest.mark.parametrize(("side", "expected"), [(28, "mnist"), (40, "mnist"), (64, "cars"), (224, "mnist")])
def test_the_architecture_follows_the_size(side, expected):
    assert choose_architecture(ImageSpec(side, side, 3, (0.0,) * 3, (1.0,) * 3)) == expected


def test_normalisation_of_the_data_is_not_used():
    model, other = make(), make()
    other.normalize.mean.fill_(7.0)
    images, _ = batch(model)
    assert torch.equal(model(images).scores, other(images).scores)


def plain(model, images, labels, factor, weight):
    """Compute equations 1 to 7 in numpy loops, with the uncentred W of the paper."""
    codes = model.latents(images).detach().double().flatten(1).numpy()
    reconstructed = model.reconstruct(images).detach().double().numpy()
    x, p = images.double().numpy(), model.prototypes.vectors.detach().double().numpy()
    w = model.last.weight.detach().double().numpy()
    n, m = len(codes), len(p)
    distances = np.array([[((codes[i] - p[j]) ** 2).sum() for j in range(m)] for i in range(n)])
    softmax = []
    for i in range(n):
        v = w @ distances[i]
        softmax.append(np.exp(v - v.max()) / np.exp(v - v.max()).sum())
    terms = {
        "cross_entropy": np.mean([-np.log(softmax[i][labels[i]]) for i in range(n)]),
        "reconstruction": weight * np.mean([((reconstructed[i] - x[i]) ** 2).sum() for i in range(n)]),
        "r1": weight * np.mean([min(distances[i][j] for i in range(n)) for j in range(m)]),
        "r2": weight * np.mean([min(distances[i][j] for j in range(m)) for i in range(n)]),
    }
    return distances, np.array(softmax), {name: factor * value for name, value in terms.items()}


@pytest.mark.parametrize(("variant", "factor"), [("paper", 1), ("released", 20)])
def test_outputs_and_losses_agree_with_a_plain_re_implementation(variant, factor):
    model = make(variant=variant)
    images, labels = batch(model)
    output = model(images)
    distances, softmax, terms = plain(model, images, labels, factor, 0.05)
    assert np.allclose(-output.similarities.detach().numpy(), distances, rtol=1e-5, atol=1e-6)
    assert np.allclose(output.scores.softmax(1).detach().numpy(), softmax, atol=1e-5)
    assert output.scores.sum(1).detach().numpy() == pytest.approx(0, abs=1e-4)  # centred
    losses = model.loss(output, labels)
    assert list(losses) == list(terms)
    for name, value in losses.items():
        assert value.item() == pytest.approx(terms[name], rel=1e-4), name
    sum(losses.values()).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_centring_changes_no_gradient_of_the_weights():
    model = make()
    images, labels = batch(model)
    output = model(images)
    centred = torch.autograd.grad(
        torch.nn.functional.cross_entropy(output.scores, labels), model.last.weight
    )[0]
    raw = output.extras["distances"].detach() @ model.last.weight.T
    plain = torch.autograd.grad(torch.nn.functional.cross_entropy(raw, labels), model.last.weight)[0]
    assert torch.allclose(centred, plain, atol=1e-6)


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("fixed", [False, True])
def test_evidence_adds_up_for_every_class(counted, fixed):
    model = make(5, fixed_weights=fixed).eval()
    images, _ = batch(model, 6)
    before = model(images).scores
    if counted:
        set_usage(model)
    output = model(images)
    assert torch.allclose(output.scores, before, rtol=1e-4, atol=1e-4)
    assert_evidence(model, output, classes=range(5))
    for c in range(5):
        evidence = model.evidence(output, torch.full((6,), c))
        assert evidence.prototypes.tolist() == list(range(len(model.prototypes)))
        # similarity minus its mean, times the weight
        difference = output.similarities - model.prototypes.mean_similarity
        assert torch.allclose(evidence.weights * difference, evidence.contributions, atol=1e-5)
        if c:
            assert torch.allclose(evidence.bias, evidence.bias[0])  # the same for all images


def test_fixed_weights_predict_the_class_of_the_nearest_prototype():
    model = make(6, fixed_weights=True).eval()
    assert torch.equal(model.last.weight, -torch.eye(6))
    assert torch.equal(model.prototypes.owners, torch.eye(6, dtype=torch.bool))
    images, labels = batch(model, 32)
    with torch.no_grad():  # spread the prototypes, so that the same one is not nearest to all images
        model.prototypes.vectors.copy_(model.latents(images[:6]).flatten(1))
    output = model(images)
    nearest = output.similarities.argmax(1)
    assert torch.equal(output.scores.argmax(1), nearest)
    assert len(nearest.unique()) > 1
    assert "last" not in model.parameter_groups()
    sum(model.loss(output, labels).values()).backward()
    assert model.last.weight.grad is None
    set_usage(model)
    assert torch.equal(model.prototypes.owners, torch.eye(6, dtype=torch.bool))


def test_owners_are_the_classes_of_the_most_negative_weights():
    model = make(4)
    assert not model.prototypes.owners.any()
    model.assign_owners()
    assert (model.prototypes.owners.sum(1) == 1).all()
    assert torch.equal(model.prototypes.owners.int().argmax(1), model.last.weight.argmin(0))


def test_bfloat16_leaves_the_prototype_layer_in_float32():
    model = make().eval()
    images, labels = batch(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(images)
        losses = model.loss(output, labels)
    assert output.scores.dtype == output.similarities.dtype == output.latents.dtype == torch.float32
    exact = pairwise_squared(output.latents.flatten(1), model.prototypes.vectors)
    assert torch.equal(-output.similarities, exact)
    assert all(term.dtype == torch.float32 for term in losses.values())


def test_a_prototype_at_the_code_of_an_image_decodes_to_its_reconstruction():
    model = make().eval()
    images, _ = batch(model, 1)
    vector = model.embed(model.latents(images))
    assert torch.equal(model.decode(vector), model.reconstruct(images))
    snapshot = model.snapshot()["prototypes"]
    assert snapshot.shape == (15, 28, 28, 1)
    assert snapshot.dtype == np.uint8


def test_kept_prototypes_keep_their_weights_and_survive_a_rebuild():
    model = make(4)
    set_usage(model)
    kept = torch.tensor([1, 4, 7])
    vectors, weights = model.prototypes.vectors[kept].clone(), model.last.weight[:, kept].clone()
    model.keep(kept)
    assert torch.equal(model.prototypes.vectors, vectors)
    assert torch.equal(model.last.weight, weights)
    twin = build("prototypedl", model.config, model.spec, tensors=model.state_dict())
    twin.load_state_dict(model.state_dict())
    images, _ = batch(model)
    assert torch.equal(twin(images).scores, model(images).scores)


def test_trained_scores_add_up_where_the_bias_is_large():
    """Use digits whose distances differ little from their mean: the bias is much larger than the contributions."""
    model = make(10).eval()
    train = open_data("digits").train
    images, labels, _ = ImageDataset(train, model.spec.image).__getitems__(list(range(200)))
    with torch.no_grad():
        codes = 30 * model.latents(images)
    optimizer = torch.optim.Adam([model.prototypes.vectors, model.last.weight], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        F.cross_entropy(model.head(codes).scores, labels).backward()
        optimizer.step()
    with torch.no_grad():
        model.prototypes.mean_similarity.copy_(model.head(codes).similarities.mean(dim=0))
        output = model.head(codes)
        biases = torch.stack([model.evidence(output, torch.tensor([c] * 200)).bias[0] for c in range(10)])
        assert biases.abs().max() > 3 * output.scores.std(dim=0).max()
        assert_evidence(model, output, classes=range(10))


def test_training_lowers_the_loss():
    model = make(variant="released")
    images, labels = batch(model, 30)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(15):
        loss = sum(model.loss(model(images), labels).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_r1_is_over_the_batches_of_all_processes(monkeypatch):
    model = make()
    images, labels = batch(model, 6)
    whole = model.loss(model(images), labels)["r1"]
    other = model(images[3:]).extras["distances"]
    monkeypatch.setattr(
        "resemblance.methods.prototypedl.model.gather", lambda tensor: torch.cat([tensor, other])
    )
    assert model.loss(model(images[:3]), labels[:3])["r1"].item() == pytest.approx(whole.item())
