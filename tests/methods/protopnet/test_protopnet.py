"""ProtoPNet against the fact sheet's values and a plain re-implementation."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch.nn import functional as F

import models
from resemblance.config.errors import UserError
from resemblance.core.output import Output
from resemblance.methods.weighted_parts.minima import masked_minimum, released_minimum

make = partial(models.make, "protopnet", encoder="small", prototypes_per_class=2, prototype_depth=8)


def test_masked_minimum_has_the_fact_sheets_values():
    distances = torch.tensor([[0.2, 0.5, 0.1, 0.9]])
    own = torch.tensor([[True, True, False, False]])
    assert masked_minimum(distances, own).item() == pytest.approx(0.2)
    assert masked_minimum(distances, ~own).item() == pytest.approx(0.1)


def test_the_released_minimum_fails_beyond_its_largest_distance():
    distances = torch.tensor([[5.0, 6.0, 3.0, 4.0]])
    own = torch.tensor([[True, True, False, False]])
    assert masked_minimum(distances, own).item() == 5
    assert masked_minimum(distances, ~own).item() == 3
    assert released_minimum(distances, own.float(), 2).item() == 2
    assert released_minimum(distances, (~own).float(), 2).item() == 2


def test_last_layer_starts_as_in_the_paper():
    model = make(classes=2)
    assert model.last.weight.tolist() == [[1, 1, -0.5, -0.5], [-0.5, -0.5, 1, 1]]
    assert model.last.bias is None


def test_weights_to_other_classes_are_penalised():
    model = make(classes=2, prototypes_per_class=1, l1=1.0)
    output = Output(torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1), {"distances": torch.ones(1, 2)})
    assert model.loss(output, torch.tensor([0]))["l1"].item() == pytest.approx(1.0)


def plain_forward(model, images):
    """Compute the paper's formulas in loops."""
    latents = model.latents(images).detach()
    vectors = model.prototypes.vectors.detach()
    similarities = torch.zeros(len(images), len(vectors))
    distances = torch.zeros(len(images), len(vectors))
    for b in range(len(images)):
        for j, vector in enumerate(vectors):
            height, width = vector.shape[1:]
            best = math.inf
            for y in range(latents.shape[2] - height + 1):
                for x in range(latents.shape[3] - width + 1):
                    patch = latents[b, :, y : y + height, x : x + width]
                    best = min(best, (patch - vector).double().square().sum().item())
            distances[b, j] = best
            similarities[b, j] = math.log((best + 1) / (best + 1e-4))
    return distances, similarities, similarities @ model.last.weight.detach().T


@pytest.mark.parametrize("shape", [(1, 1), (2, 3)])
def test_forward_and_losses_agree_with_a_plain_re_implementation(shape):
    model = make(prototype_height=shape[0], prototype_width=shape[1]).eval()
    images, labels = torch.rand(4, 1, 28, 28), torch.tensor([0, 2, 1, 1])
    output = model(images)
    distances, similarities, scores = plain_forward(model, images)
    assert torch.allclose(output.similarities, similarities, rtol=1e-4, atol=1e-4)
    assert torch.allclose(output.scores, scores, rtol=1e-4, atol=1e-4)
    own = torch.zeros(4, 6, dtype=torch.bool)
    for b, label in enumerate(labels.tolist()):
        own[b, 2 * label : 2 * label + 2] = True
    cluster = sum(distances[b][own[b]].min().item() for b in range(4)) / 4
    separation = sum(distances[b][~own[b]].min().item() for b in range(4)) / 4
    terms = model.loss(output, labels)
    assert terms["cross_entropy"].item() == pytest.approx(F.cross_entropy(scores, labels).item(), rel=1e-4)
    assert terms["cluster"].item() == pytest.approx(0.8 * cluster, rel=1e-4)
    assert terms["separation"].item() == pytest.approx(-0.08 * separation, rel=1e-4)
    assert terms["l1"].item() == pytest.approx(1e-4 * 6 * 2 * 0.5, rel=1e-5)


def test_the_variants_agree_while_distances_are_small():
    model = make().eval()
    released = make(variant="released").eval()
    released.load_state_dict(model.state_dict())
    images, labels = torch.rand(4, 1, 28, 28), torch.tensor([0, 2, 1, 1])
    with torch.no_grad():
        for name, term in model.loss(model(images), labels).items():
            assert term.item() == pytest.approx(
                released.loss(released(images), labels)[name].item(), rel=1e-4
            )


def test_an_image_of_a_class_without_prototypes_leaves_the_losses_finite():
    model = make(classes=2, prototypes_per_class=1)
    model.keep(torch.tensor([0]))
    output = model(torch.rand(4, 1, 28, 28))
    terms = model.loss(output, torch.tensor([1, 1, 1, 1]))
    total = sum(terms.values())
    total.backward()
    assert total.isfinite()
    assert terms["cluster"].item() == 0


def test_pruning_drops_the_right_columns():
    model = make().eval()
    images = torch.rand(2, 1, 28, 28)
    before = model(images)
    kept = torch.tensor([0, 3, 5])
    model.keep(kept)
    after = model(images)
    assert torch.allclose(after.similarities, before.similarities[:, kept])
    assert torch.allclose(after.scores, before.similarities[:, kept] @ model.last.weight.T)
    assert model.prototypes.owners.tolist() == [
        [True, False, False],
        [False, True, False],
        [False, False, True],
    ]


def test_maps_peak_at_the_pooled_similarity():
    model = make().eval()
    output = model(torch.rand(2, 1, 28, 28))
    maps = model.prototypes.maps(output.latents)
    assert torch.allclose(maps.flatten(2).amax(2), output.similarities, atol=1e-5)
    match = model.prototypes.match(output.latents)
    rows = torch.arange(2).repeat_interleave(6)
    patches = model.prototypes.patches(output.latents, rows)[torch.arange(12), match.cells.flatten()]
    squared = (patches - model.prototypes.vectors.repeat(2, 1, 1, 1)).square().flatten(1).sum(1)
    assert torch.allclose(squared, match.values.flatten(), atol=1e-4)


def test_whole_images_have_embeddings_instead_of_maps():
    model = make(pool="avg", addon="none").eval()
    output = model(torch.rand(2, 1, 28, 28))
    assert output.latents.dim() == 2
    assert not model.traits.maps
    assert model.prototypes.vectors.shape == (6, model.encoder.channels)


def test_the_head_stays_in_float32_under_autocast():
    model = make().eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(torch.rand(2, 1, 28, 28))
        evidence = model.evidence(output, output.scores.argmax(1))
    assert output.scores.dtype == output.similarities.dtype == torch.float32
    total = evidence.contributions.sum(1) + evidence.bias
    assert torch.allclose(
        total, output.scores.amax(1), atol=1e-5 * evidence.contributions.abs().sum(1).max().item()
    )


def test_impossible_settings_are_refused():
    with pytest.raises(UserError, match="at least 1"):
        make(prototypes_per_class=0)
    with pytest.raises(UserError, match="1x1"):
        make(pool="avg", prototype_height=2)
    with pytest.raises(UserError, match="has no setting"):
        make(prototype_size=3)
