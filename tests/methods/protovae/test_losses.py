"""Similarities and losses against the fact sheet's values and a plain re-implementation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from methods.protovae.small_models import make
from models import batch
from resemblance.methods.protovae.mixture import gram_errors, kl_divergence, mixture
from resemblance.prototypes.similarity import log_similarity


def test_similarities_have_the_fact_sheets_values():
    squared = log_similarity(torch.tensor([0.0, 0.25, 1.0, 4.0]))
    assert squared.tolist() == pytest.approx([9.210340, 1.609038, 0.693047, 0.223119], rel=1e-5)
    model = make(latent=1, variant="released")
    with torch.no_grad():
        model.prototypes.vectors.zero_()
    similarities = model.prototypes(torch.tensor([[0.5], [2.0]])).similarities[:, 0]
    assert similarities.tolist() == pytest.approx([1.098412, 0.405415], rel=1e-5)
    model = make(latent=1)
    with torch.no_grad():
        model.prototypes.vectors.zero_()
    assert model.prototypes(torch.tensor([[0.5]])).similarities[0, 0].item() == pytest.approx(
        1.609038, rel=1e-5
    )


def test_divergence_has_the_fact_sheets_values():
    mu, sigma = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.5]])
    per_dimension = [
        kl_divergence(mu[:, d : d + 1], 2 * sigma[:, d : d + 1].log(), torch.zeros(1, 1)) for d in (0, 1)
    ]
    assert [value.item() for value in per_dimension] == pytest.approx([0.5, 0.318147], rel=1e-5)
    total = kl_divergence(mu, 2 * sigma.log(), torch.zeros(1, 2)).item()
    assert total == pytest.approx(0.818147, rel=1e-5)
    assert total / 2 == pytest.approx(0.409074, rel=1e-5)


def test_the_mixture_is_weighted_by_similarity():
    divergences, similarities = torch.tensor([[0.5, 9.0, 0.9]]), torch.tensor([[3.0, 7.0, 1.0]])
    own = torch.tensor([[True, False, True]])
    assert mixture(divergences, similarities, own).item() == pytest.approx(0.6)
    assert mixture(divergences, similarities, torch.zeros_like(own)).item() == 0


def test_orthonormality_has_the_fact_sheets_value():
    assert gram_errors(torch.eye(2), torch.ones(2, 1, dtype=torch.bool)).sqrt().item() == pytest.approx(1.0)


# Forward pass and loss.


def plain(model, output, images, labels):
    """Compute supplement equations 3 to 7 in loops, from μ, ln σ², z and the decoder's images."""
    released, means = model.config.variant == "released", model.config.uses_means
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


def test_released_divergences_that_vanish_are_left_out_of_the_shares():
    model = make(2, variant="released").eval()
    images, labels = batch(model, 2)
    output = model(images)
    with torch.no_grad():  # the first prototype of class 0 is the posterior of image 0: its divergence is 0
        output.extras["logvar"].zero_()
        model.prototypes.vectors[0] = output.extras["mu"][0]
    kl = model.loss(output, labels)["kl"]
    full = kl_divergence(output.extras["mu"], output.extras["logvar"], model.prototypes.vectors) / 6
    s = output.similarities
    second = (s[1, 2] * full[1, 2] + s[1, 3] * full[1, 3]) / (s[1, 2] + s[1, 3])
    assert full[0, 0] == 0
    assert kl.item() == pytest.approx(((full[0, 1] + second) / 2).item(), rel=1e-5)


def test_orthonormality_is_computed_for_classes_of_any_size():
    owners = torch.eye(4, dtype=torch.bool)[[0, 2, 0, 2, 2, 3]]
    vectors = torch.randn(6, 5, dtype=torch.float64)
    errors = gram_errors(vectors, owners)
    for c in range(4):
        rows = vectors[owners[:, c]]
        rows = rows - rows.mean(0) if len(rows) else rows
        expected = (rows @ rows.T - torch.eye(len(rows), dtype=torch.float64)).square().sum()
        assert errors[c].item() == pytest.approx(expected.item())
    assert errors[1] == 0
