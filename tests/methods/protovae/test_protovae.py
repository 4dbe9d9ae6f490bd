"""ProtoVAE against the fact sheet's values and a plain re-implementation."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import models
import resemblance
from models import batch
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.methods.protovae.mixture import gram_errors, kl_divergence, mixture
from resemblance.methods.protovae.vae import Decoder, halvings, stage_widths
from resemblance.prototypes.similarity import log_similarity

make = partial(models.make, "protovae", mean=0.1, std=0.3, latent=6, prototypes_per_class=2)


# The fact sheet's values.


def test_similarities_have_the_fact_sheets_values():
    squared = log_similarity(torch.tensor([0.0, 0.25, 1.0, 4.0]))
    assert squared.tolist() == pytest.approx([9.210340, 1.609038, 0.693047, 0.223119], rel=1e-5)
    model = make(latent=1, variant="released")
    with torch.no_grad():
        model.prototypes.vectors.zero_()
    found = model.similarity(torch.tensor([[0.5], [2.0]]))[:, 0]
    assert found.tolist() == pytest.approx([1.098412, 0.405415], rel=1e-5)
    model = make(latent=1)
    with torch.no_grad():
        model.prototypes.vectors.zero_()
    assert model.similarity(torch.tensor([[0.5]]))[0, 0].item() == pytest.approx(1.609038, rel=1e-5)


def test_divergence_has_the_fact_sheets_values():
    mu, sigma = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.5]])
    apart = [
        kl_divergence(mu[:, d : d + 1], 2 * sigma[:, d : d + 1].log(), torch.zeros(1, 1)) for d in (0, 1)
    ]
    assert [value.item() for value in apart] == pytest.approx([0.5, 0.318147], rel=1e-5)
    total = kl_divergence(mu, 2 * sigma.log(), torch.zeros(1, 2)).item()
    assert total == pytest.approx(0.818147, rel=1e-5)
    assert total / 2 == pytest.approx(0.409074, rel=1e-5)


def test_the_mixture_weighs_by_similarity():
    divergences, similarities = torch.tensor([[0.5, 9.0, 0.9]]), torch.tensor([[3.0, 7.0, 1.0]])
    own = torch.tensor([[True, False, True]])
    assert mixture(divergences, similarities, own).item() == pytest.approx(0.6)
    assert mixture(divergences, similarities, torch.zeros_like(own)).item() == 0


def test_orthonormality_has_the_fact_sheets_value():
    assert gram_errors(torch.eye(2), torch.ones(2, 1, dtype=torch.bool)).sqrt().item() == pytest.approx(1.0)


# The paper's networks.


def kinds(layers):
    return [(type(layer).__name__, *getattr(layer, "weight", torch.empty(0)).shape) for layer in layers]


@pytest.mark.parametrize(
    ("architecture", "size", "channels", "widths", "ups", "start"),
    [
        ("mnist", 28, 1, [32, 64], [32, 32], (64, 7, 7)),
        ("quickdraw", 28, 1, [32, 64, 128], [64, 32, 32], (128, 3, 3)),
        ("svhn", 32, 3, [32, 64, 128, 256], [128, 64, 32, 32], (256, 2, 2)),
        ("cifar", 32, 3, [32, 64, 128, 256], [128, 64, 32, 32], (256, 2, 2)),
    ],
)
def test_networks_are_the_papers(architecture, size, channels, widths, ups, start):
    model = make(10, (size, size), channels, architecture=architecture, latent=None)
    length = 256 if architecture == "mnist" else 512
    assert model.latent == length
    expected, before = [], channels
    for width in widths:
        expected += [("Conv2d", width, before, 3, 3), ("ReLU", 0), ("BatchNorm2d", width)]
        if architecture == "svhn":
            expected += [("Conv2d", width, width, 4, 4), ("ReLU", 0), ("BatchNorm2d", width)]
        else:
            expected.append(("AvgPool2d", 0))
        before = width
    assert kinds(model.encoder) == [*expected, ("Flatten", 0)]
    flat = math.prod(start)
    assert kinds(model.addon) == [
        ("Linear", 2 * length, flat),
        ("ReLU", 0),
        ("Linear", 2 * length, 2 * length),
    ]
    assert kinds(model.decoder.full) == [("Linear", flat, length), ("ReLU", 0), ("BatchNorm1d", flat)]
    assert model.decoder.start == start
    expected, before = [], start[0]
    for width in ups:
        expected += [("ZeroPad2d", 0), ("Conv2d", width, before, 3, 3), ("ReLU", 0), ("BatchNorm2d", width)]
        expected += [("ConvTranspose2d", width, width, 4, 4), ("ReLU", 0), ("BatchNorm2d", width)]
        before = width
    assert kinds(model.decoder.layers) == [*expected, ("Conv2d", channels, 32, 3, 3)]
    margins = [layer.padding for layer in model.decoder.layers if isinstance(layer, nn.ZeroPad2d)]
    assert margins[:-1] == [(1, 1, 1, 1)] * (len(ups) - 1)
    assert margins[-1] == ((2,) * 4 if architecture == "quickdraw" else (1,) * 4)  # 12 becomes 14
    assert all(
        layer.output_padding == (0, 0)
        for layer in model.decoder.layers
        if hasattr(layer, "output_padding") and isinstance(layer, nn.ConvTranspose2d)
    )


def test_initial_values_are_the_released_ones():
    model = make(4)
    for layer in (model.encoder[0], *model.addon[::2], model.decoder.full[0], model.decoder.layers[4]):
        assert 0.05 < layer.weight.abs().max() <= 0.08
        assert not layer.bias.any()
    assert torch.equal(model.last.weight, torch.where(model.prototypes.owners.T, 1.0, -0.5))
    assert model.last.bias is None
    wide = make(10, latent=512).prototypes.vectors
    assert wide.mean().item() == pytest.approx(0, abs=0.05)
    assert wide.std().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("architecture", ["auto", "mnist", "quickdraw", "svhn", "cifar"])
@pytest.mark.parametrize(
    ("size", "channels"), [((28, 28), 3), ((1, 1), 1), ((33, 47), 1), ((13, 90), 3), ((64, 64), 3)]
)
def test_any_size_and_channels_come_back(architecture, size, channels):
    model = make(2, size, channels, architecture=architecture).eval()
    images, _ = batch(model, 2)
    assert model.reconstruct(images).shape == images.shape
    decoded = model.decode(model.prototypes.vectors)
    assert decoded.shape == (4, channels, *size)
    assert ((decoded >= 0) & (decoded <= 1)).all()


def test_the_resnet_has_the_decoder_for_224_pixels():
    sizes = halvings(ImageSpec(224, 224, 3, (0.0,) * 3, (1.0,) * 3), 7)
    assert sizes[-1] == (7, 7)
    assert stage_widths(len(sizes) - 1) == [32, 64, 128, 256, 256]
    assert Decoder(sizes, 3, 4, late=False).eval()(torch.rand(1, 4)).shape == (1, 3, 224, 224)
    model = make(2, (112, 112), 3, prototypes_per_class=1)  # auto takes resnet18
    assert model.architecture == "resnet"
    assert model.addon[0].in_features == 512
    assert model.recipe().stages[0].epochs == 15
    named = make(2, encoder="small", architecture="mnist")
    assert named.addon[0].in_features == 128
    assert named.decoder.start == (64, 7, 7)


def test_weights_without_an_encoder_are_refused():
    with pytest.raises(UserError, match="no weights to load for the convolutions"):
        make(architecture="mnist", weights="pretrained")
    with pytest.raises(UserError, match="at least 1"):
        make(latent=0)


# Forward pass and loss.


def plain(model, output, images, labels):
    """Supplement equations 3 to 7 in loops, from μ, ln σ², z and the decoder's images."""
    released, means = model.config.variant == "released", model.config.takes_means
    mu, logvar, z = (output.extras[k].detach().double().numpy() for k in ("mu", "logvar", "z"))
    phi, w = model.prototypes.vectors.detach().double().numpy(), model.last.weight.detach().double().numpy()
    owner = model.prototypes.owners.int().argmax(1).tolist()
    decoded = model.decoder(output.extras["z"]).detach().double().numpy()
    n, p, dims = len(mu), len(phi), mu.shape[1]
    s = np.zeros((n, p))
    for i in range(n):
        for j in range(p):
            d2 = ((z[i] - phi[j]) ** 2).sum()
            d = math.sqrt(d2) if released else d2
            s[i, j] = math.log((d + 1) / (d + 1e-4))
    scores = s @ w.T
    ce = rec = kl = 0.0
    for i in range(n):
        e = np.exp(scores[i] - scores[i].max())
        ce -= math.log(e[labels[i]] / e.sum()) / n
        error = ((decoded[i] - (2 * images[i].double().numpy() - 1)) ** 2).ravel()
        rec += (error.mean() if means else error.sum()) / n
        own = [j for j in range(p) if owner[j] == labels[i]]
        for j in own:
            terms = [
                0.5 * (math.exp(v) + (m - c) ** 2 - 1 - v)
                for m, v, c in zip(mu[i], logvar[i], phi[j], strict=True)
            ]
            share = s[i, j] / sum(s[i, k] for k in own)
            kl += share * (sum(terms) / dims if means else sum(terms)) / n
    orth = []
    for c in range(w.shape[0]):
        rows = phi[[j for j in range(p) if owner[j] == c]]
        rows = rows - rows.mean(0)
        gram = rows @ rows.T - np.eye(len(rows))
        orth.append(math.sqrt((gram**2).sum()) if released else (gram**2).sum())
    orth = np.mean(orth) if means else np.sum(orth)
    return s, scores, {"cross_entropy": ce, "reconstruction": rec, "kl": kl, "orthonormality": orth}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "config", [{}, {"terms": "means"}, {"variant": "released"}, {"variant": "released", "terms": "sums"}]
)
def test_outputs_and_losses_agree_with_a_plain_re_implementation(config, training):
    model = make(**config).train(training)
    images, labels = batch(model, 7)
    output = model(images)
    similarities, scores, terms = plain(model, output, images, labels.tolist())
    assert np.allclose(output.similarities.detach(), similarities, rtol=1e-4, atol=1e-6)
    assert np.allclose(output.scores.detach(), scores, atol=1e-4)
    losses = model.loss(output, labels)
    assert list(losses) == list(terms)
    for name, value in losses.items():
        assert value.item() == pytest.approx(terms[name], rel=1e-4), name
    sum(losses.values()).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_weights_multiply_their_terms():
    images, labels = batch(make())
    plain_terms = make().eval()
    weighted = make(reconstruction=2.0, kl=3.0, orthonormality=5.0).eval()
    before, after = plain_terms.loss(plain_terms(images), labels), weighted.loss(weighted(images), labels)
    factors = {"cross_entropy": 1, "reconstruction": 2, "kl": 3, "orthonormality": 5}
    for name, factor in factors.items():
        assert after[name].item() == pytest.approx(factor * before[name].item()), name


def test_z_is_sampled_in_training_only_and_never_in_the_release():
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
    wild = model.head(torch.cat([torch.zeros(2, 6), torch.full((2, 6), 1e9)], dim=1)).extras["logvar"]
    assert wild.max().item() == pytest.approx(math.log(1e8), rel=1e-6)


def test_released_divergences_that_vanish_are_left_out_of_the_shares():
    model = make(2, variant="released").eval()
    images, labels = batch(model, 2)
    output = model(images)
    with torch.no_grad():  # the first prototype of class 0 is the posterior of image 0: its divergence is 0
        output.extras["logvar"].zero_()
        model.prototypes.vectors[0] = output.extras["mu"][0]
    found = model.loss(output, labels)["kl"]
    full = kl_divergence(output.extras["mu"], output.extras["logvar"], model.prototypes.vectors) / 6
    s = output.similarities
    second = (s[1, 2] * full[1, 2] + s[1, 3] * full[1, 3]) / (s[1, 2] + s[1, 3])
    assert full[0, 0] == 0
    assert found.item() == pytest.approx(((full[0, 1] + second) / 2).item(), rel=1e-5)


def test_orthonormality_takes_classes_of_any_size():
    owners = torch.eye(4, dtype=torch.bool)[[0, 2, 0, 2, 2, 3]]
    vectors = torch.randn(6, 5, dtype=torch.float64)
    found = gram_errors(vectors, owners)
    for c in range(4):
        rows = vectors[owners[:, c]]
        rows = rows - rows.mean(0) if len(rows) else rows
        expected = (rows @ rows.T - torch.eye(len(rows), dtype=torch.float64)).square().sum()
        assert found[c].item() == pytest.approx(expected.item())
    assert found[1] == 0


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
    match = model.match(output.latents)
    assert torch.allclose(model.similarity_of(match.values), output.similarities, rtol=1e-4)
    released = make(variant="released").eval()
    output = released(images)
    assert torch.allclose(released.similarity_of(released.match(output.latents).values), output.similarities)
    assert torch.equal(model.embed(output.latents), output.extras["mu"])


def test_bfloat16_leaves_the_head_in_float32():
    model = make().eval()
    images, labels = batch(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(images)
        losses = model.loss(output, labels)
    assert output.scores.dtype == output.latents.dtype == torch.float32
    assert torch.equal(output.similarities, model.similarity(output.extras["z"]))
    assert all(term.dtype == torch.float32 for term in losses.values())


def test_one_image_a_step_is_refused_with_the_cure():
    model = make()
    with pytest.raises(UserError, match="--batch-size 2"):
        model(batch(model, 1)[0])


@pytest.mark.parametrize(
    ("config", "channels", "expected"),
    [
        ({}, 1, (10, 128, "none")),
        ({"architecture": "quickdraw"}, 1, (10, 128, "none")),
        ({"architecture": "svhn"}, 3, (10, 64, "none")),
        ({"architecture": "svhn", "variant": "released"}, 3, (36, 64, "none")),
        ({}, 3, (36, 128, "flip+crop")),
        ({"encoder": "small"}, 1, (15, 128, "none")),
    ],
)
def test_recipe_is_the_papers(config, channels, expected):
    model = make(size=(32, 32), channels=channels, **config)
    recipe = model.recipe()
    (stage,) = recipe.stages
    assert (stage.epochs, recipe.batch_size, recipe.augment) == expected
    assert (stage.optimizer, stage.end) == ("adam", ("usage",))
    groups = model.parameter_groups()
    assert {group.lr for group in stage.groups.values()} == {1e-3}
    assert stage.groups.keys() == groups.keys()
    assert sum(len(group) for group in groups.values()) == len(list(model.parameters()))


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
