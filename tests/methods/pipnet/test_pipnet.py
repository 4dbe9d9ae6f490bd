"""Views, abstention, patches, and the prototypes after training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from methods.pipnet.small_models import make, sharp
from resemblance.data import ArraySource
from resemblance.training.ends import actions


def test_training_has_two_views_and_evaluation_none():
    model = make()
    images = torch.rand(4, 1, 28, 28)
    model.train()
    output = model(images)
    assert not torch.equal(output.latents, output.extras["second latents"])
    torch.manual_seed(7)
    first = model(images).latents
    torch.manual_seed(7)
    assert torch.equal(model(images).latents, first)  # drawn from torch's generator alone
    model.eval()
    assert torch.equal(model(images).scores, model(images).scores)
    assert "second latents" not in model(images).extras
    same = make(view_strength=0.0, view_shift=0).train()
    output = same(images)
    # Both views are in one batch, so that batch norm is the same for both.
    torch.testing.assert_close(output.latents, output.extras["second latents"])


def test_without_a_present_prototype_it_abstains():
    model = make().eval()  # 128 channels, each with about a 128th of every patch
    images = torch.rand(2, 1, 28, 28)
    output = model(images)
    assert output.similarities.max() < 0.1
    assert output.scores.abs().max() == 0
    assert model.abstains(output).all()
    assert model.extra_metrics(output, torch.tensor([0, 1]))["abstention"].all()
    explanation = model.explain(images[0], label="class 0")
    assert explanation.abstained
    assert explanation.correct is False
    assert "abstains: no prototype that speaks for any class is present; it is class 0" in str(explanation)
    assert "predicted" not in str(explanation)
    assert explanation.to_dict()["abstained"] is True
    answering = make(least_presence=0.0).eval()
    assert not answering.abstains(answering(images)).any()
    assert not answering.explain(images[0]).abstained


def test_only_present_prototypes_contribute():
    model = sharp().eval()
    output = model(torch.rand(3, 1, 28, 28))
    classes = torch.tensor([2, 0, 1])
    evidence = model.evidence(output, classes)
    weights = model.last.weight.relu()[classes]
    expected = torch.where(output.similarities < 0.1, 0, output.similarities) * weights
    torch.testing.assert_close(evidence.contributions, expected)
    torch.testing.assert_close(evidence.contributions.sum(1), output.scores[torch.arange(3), classes])
    assert evidence.contributions.min() >= 0
    share = model.extra_metrics(output, classes)["share of the prototypes that count for an answer"]
    chosen = model.evidence(output, output.scores.argmax(1)).contributions
    assert share.tolist() == pytest.approx(((chosen > 1e-3).sum(1) / 12).tolist())


def test_patches_are_the_authors():
    """Patches have 32 pixels, 8 apart, in a 26×26 map of 224 pixels: the last one ends with the image."""
    model = make(size=224, least_presence=0.0)
    boxes = model.prototypes.patch_boxes(torch.tensor([0, 1, 25, 25 * 26 + 3]), (26, 26), (224, 224))
    assert boxes[0].tolist() == [0, 0, 32, 32]
    assert boxes[1].tolist() == [8, 0, 40, 32]
    assert boxes[2].tolist() == [192, 0, 224, 32]
    assert boxes[3].tolist() == [23, 192, 55, 224]
    small = make().eval()
    assert small.prototypes.patch_boxes(torch.arange(49), (7, 7), (28, 28)).tolist() == [
        [4 * x, 4 * y, 4 * x + 4, 4 * y + 4] for y in range(7) for x in range(7)
    ]
    reason = sharp().eval().explain(torch.rand(1, 28, 28), prototypes=[3]).reasons[0]
    assert (reason.box[2] - reason.box[0], reason.box[3] - reason.box[1]) == (4, 4)


# after training


def test_prototypes_without_weight_or_image_are_dropped_but_not_their_channels():
    model = sharp().eval()
    images = torch.rand(4, 1, 28, 28)
    with torch.no_grad():
        model.last.weight.fill_(0.5)
        model.last.weight[:, 2] = 0.0009
        model.last.weight[0, 5] = -1
    model.prototypes.strengths.fill_(0.9)
    model.prototypes.strengths[7] = 0.1  # its largest presence is not above the threshold
    model.assign_owners()
    owners = model.prototypes.owners
    assert owners.any(dim=1).nonzero().flatten().tolist() == [0, 1, 3, 4, 5, 6, 8, 9, 10, 11]
    assert owners[5].tolist() == [False, True, True]
    assert model.last.weight[:, 7].eq(0).all()
    before = model(images)
    kept = owners.any(dim=1).nonzero().flatten()
    model.keep(kept)
    after = model(images)
    assert torch.equal(after.latents, before.latents)
    assert torch.equal(after.similarities, before.similarities[:, kept])
    torch.testing.assert_close(after.scores, before.scores, atol=5e-3, rtol=0)  # without the weight 0.0009
    assert model.prototypes.channels.tolist() == kept.tolist()
    assert (
        len(model.prototypes.examples)
        == len(model.prototypes.strengths)
        == model.mean_contributions.shape[1]
        == 10
    )
    model.keep(torch.tensor([1, 9]))
    assert model.prototypes.channels.tolist() == [1, 11]
    assert model.prototypes.maps(after.latents).shape[1] == 2


def test_a_map_that_never_reaches_the_threshold_matches_nothing():
    model = make().eval()
    match = model.prototypes.match(model(torch.rand(2, 1, 28, 28)).latents)
    assert match.values.isinf().all()
    model = sharp().eval()
    output = model(torch.rand(2, 1, 28, 28))
    match = model.prototypes.match(output.latents)
    present = output.similarities >= 0.1
    assert torch.equal(match.values.isfinite(), present)
    assert torch.equal(match.values[present], -output.similarities[present])
    cells = output.latents.flatten(2).gather(2, match.cells[:, :, None])[:, :, 0]
    assert torch.equal(cells, output.similarities)


def test_sources_are_the_images_of_all_classes_with_the_largest_presence():
    model = sharp().eval()
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (12, 28, 28, 1), dtype=np.uint8)
    source = ArraySource(pixels, np.arange(12) % 3, model.spec.classes)
    with torch.no_grad():
        model.last.weight[1:] = 0  # all prototypes are class 0's
    for action in ("concepts", "assign", "usage"):
        actions.run(action, model, actions.ActionContext(source, batch_size=5))
    output = model(torch.from_numpy(pixels.transpose(0, 3, 1, 2)).float() / 255)
    assert model.prototypes.source_index.tolist() == output.similarities.argmax(dim=0).tolist()
    assert torch.equal(model.prototypes.source_index, model.prototypes.examples[:, 0])
    torch.testing.assert_close(model.prototypes.strengths[:, 0], output.similarities.amax(dim=0))
    assert (model.prototypes.source_index % 3 != 0).any()
    present = output.similarities >= 0.1
    assert model.prototypes.activations.tolist() == present.sum(dim=0).tolist()
    own = torch.arange(12) % 3 == 0
    means = (output.extras["used"] * model.weights()[0])[own].mean(dim=0)
    torch.testing.assert_close(model.mean_contributions[0], means)
