"""PIP-Net against the fact sheet's values and a plain re-implementation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.core.output import Output
from resemblance.core.training_step import TrainingStep
from resemblance.data import ArraySource
from resemblance.methods.pipnet.config import PIPNetConfig
from resemblance.methods.pipnet.losses import align, logits, shrunk, tanh
from resemblance.methods.pipnet.model import PIPNet
from resemblance.methods.pipnet.stages import first_and_later
from resemblance.methods.registry import build
from resemblance.training.ends import actions
from resemblance.training.engine.optimizers import rate_factor

STAGES = ["pretrain", "head", "last layers", "all"]


def make(classes=3, size=28, channels=1, module=None, **config):
    image = ImageSpec(size, size, channels, (0.5,) * channels, (0.25,) * channels)
    spec = ModelSpec(tuple(f"class {c}" for c in range(classes)), image)
    torch.manual_seed(0)
    return build("pipnet", {"encoder": "small", **config}, spec, module=module)


def sharp(**config) -> PIPNet:
    """One whose patches decide, as after training: fresh ones are spread over 128 channels."""
    model = make(prototypes=12, **config)
    with torch.no_grad():
        model.addon.weight *= 6
    return model


def moment(stage, epoch=0, epochs=10):
    return TrainingStep(stage, epoch, epochs, before=0, step=0, steps=5)


# the fact sheet's values


def test_agreement_of_the_views():
    one_hot = F.one_hot(torch.tensor([[[0, 2], [1, 1]]]), 3).permute(0, 3, 1, 2).float()
    assert align(one_hot, one_hot).item() == pytest.approx(0, abs=1e-6)
    even = torch.full((1, 2, 3, 3), 0.5)
    assert align(even, even).item() == pytest.approx(0.6931, abs=1e-4)


def test_presence_in_the_batch():
    assert tanh(torch.tensor([2.0, 0.0])).item() == pytest.approx(9.2287, abs=1e-3)


def test_what_the_classification_loss_reads():
    found = logits(torch.tensor([2.0, 0.0]))
    assert found.tolist() == pytest.approx([1.6094, 0.0], abs=1e-4)
    assert found.softmax(0).tolist() == pytest.approx([0.8333, 0.1667], abs=1e-4)
    assert make().probabilities(torch.tensor([[2.0, 0.0]])).tolist()[0] == pytest.approx(
        [0.8333, 0.1667], abs=1e-4
    )


def test_weights_shrink():
    assert shrunk(torch.tensor([0.0005, 0.5])).tolist() == pytest.approx([0, 0.499])


# against loops and the formulas


def plain_forward(z, weights, least=0.0):
    """Presences and scores of softmax maps (B, D, H, W) by loops."""
    batch, depth, height, width = z.shape
    presence, scores = torch.zeros(batch, depth), torch.zeros(batch, len(weights))
    for b in range(batch):
        for d in range(depth):
            presence[b, d] = max(z[b, d, y, x].item() for y in range(height) for x in range(width))
        for c in range(len(weights)):
            for d in range(depth):
                if presence[b, d] >= least:
                    scores[b, c] += presence[b, d] * max(weights[c, d].item(), 0.0)
    return presence, scores


def plain_terms(z1, z2, weights, labels):
    """The three terms without their weights, patch by patch and image by image."""
    (p1, o1), (p2, o2) = plain_forward(z1, weights), plain_forward(z2, weights)
    batch, depth, height, width = z1.shape
    agreement = [
        -math.log(sum((z1[b, d, y, x] * z2[b, d, y, x]).item() for d in range(depth)) + 1e-12)
        for b in range(batch)
        for y in range(height)
        for x in range(width)
    ]
    spread = [
        sum(-math.log(math.tanh(sum(p[b, d].item() for b in range(batch))) + 1e-8) for d in range(depth))
        / depth
        for p in (p1, p2)
    ]
    entropy = []
    for scores in (o1, o2):
        for b, label in enumerate(labels.tolist()):
            powers = [1 + score.item() ** 2 for score in scores[b]]  # exp(log(1 + o²))
            entropy.append(-math.log(powers[label] / sum(powers)))
    return {
        "align": sum(agreement) / len(agreement),
        "tanh": sum(spread) / 2,
        "classification": sum(entropy) / len(entropy),
    }


def test_presences_and_scores_agree_with_loops():
    model = sharp().eval()
    with torch.no_grad():
        model.last.weight -= 1.0  # half of them negative, which count as zero
    images = torch.rand(3, 1, 28, 28)
    output = model(images)
    features = model.addon(model.encoder.map(model.encoder.features(model.normalize(images))))
    z = features.exp() / features.exp().sum(dim=1, keepdim=True)
    torch.testing.assert_close(output.latents, z)
    presence, scores = plain_forward(z.detach(), model.last.weight.detach(), least=0.1)
    torch.testing.assert_close(output.similarities, presence)
    torch.testing.assert_close(output.scores, scores)
    assert 0 < (presence < 0.1).float().mean() < 1  # the cut does something here


@pytest.mark.parametrize(
    ("stage", "variant", "expected"),
    [
        ("pretrain", "paper", (5, 2, 0)),
        ("pretrain", "released", (0.3, 5, 0)),
        ("head", "paper", (0, 0, 2)),
        ("last layers", "paper", (5, 2, 2)),
        ("all", "released", (5, 2, 2)),
    ],
)
def test_each_stages_losses_agree_with_loops(stage, variant, expected):
    model, labels = sharp(variant=variant), torch.tensor([0, 2, 2])
    model.train()
    views = [torch.rand(3, 1, 28, 28), torch.rand(3, 1, 28, 28)]
    given = iter(views)
    model.view = lambda images: next(given)
    model.before_step(moment(stage, epoch=2))
    output = model(torch.zeros(3, 1, 28, 28))
    terms = model.loss(output, labels)
    assert output.scores.shape == (3, 3)
    z1, z2 = output.latents.detach(), output.extras["second latents"].detach()
    plain = plain_terms(z1, z2, model.last.weight.detach(), labels)
    for (name, value), weight in zip(plain.items(), expected, strict=True):
        assert terms[name].item() == pytest.approx(weight * value, rel=2e-4), name


def test_agreement_has_half_the_gradient_of_its_value():
    """½ [ℓ(z', sg z'') + ℓ(z'', sg z')]: through each view once."""
    z = [torch.rand(2, 5, 3, 3).softmax(dim=1).requires_grad_() for _ in range(2)]
    align(*z).backward()

    def one_way(moving, still):
        return -((moving * still.detach()).sum(dim=1) + 1e-12).log().mean()

    copies = [part.detach().clone().requires_grad_() for part in z]
    plain = (one_way(copies[0], copies[1]) + one_way(copies[1], copies[0])) / 2
    plain.backward()
    assert align(*z).item() == pytest.approx(plain.item())
    for part, copy in zip(z, copies, strict=True):
        torch.testing.assert_close(part.grad, copy.grad)


# views, abstention, evidence


def test_training_sees_two_views_and_use_none():
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
    # Both views in one batch: batch norm sees them alike.
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


def test_contributions_are_of_what_is_present():
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
    """32 pixels, 8 apart, in a 26×26 map of 224 pixels: the last one ends with the image."""
    model = make(size=224, least_presence=0.0)
    boxes = model.boxes_at(torch.tensor([0, 1, 25, 25 * 26 + 3]), (26, 26))
    assert boxes[0].tolist() == [0, 0, 32, 32]
    assert boxes[1].tolist() == [8, 0, 40, 32]
    assert boxes[2].tolist() == [192, 0, 224, 32]
    assert boxes[3].tolist() == [23, 192, 55, 224]
    small = make().eval()
    assert small.boxes_at(torch.arange(49), (7, 7)).tolist() == [
        [4 * x, 4 * y, 4 * x + 4, 4 * y + 4] for y in range(7) for x in range(7)
    ]
    reason = sharp().eval().explain(torch.rand(1, 28, 28), prototypes=[3]).reasons[0]
    assert (reason.box[2] - reason.box[0], reason.box[3] - reason.box[1]) == (4, 4)


# after training


def test_prototypes_without_weight_or_image_go_and_channels_stay():
    model = sharp().eval()
    images = torch.rand(4, 1, 28, 28)
    with torch.no_grad():
        model.last.weight.fill_(0.5)
        model.last.weight[:, 2] = 0.0009
        model.last.weight[0, 5] = -1
    model.strengths.fill_(0.9)
    model.strengths[7] = 0.1  # never more present than that: no more than a threshold
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
    torch.testing.assert_close(after.scores, before.scores, atol=5e-3, rtol=0)  # the 0.0009 are gone
    assert model.channels.tolist() == kept.tolist()
    assert len(model.examples) == len(model.strengths) == model.mean_contributions.shape[1] == 10
    model.keep(torch.tensor([1, 9]))
    assert model.channels.tolist() == [1, 11]
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


def test_sources_are_the_strongest_images_of_all_classes():
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
    assert torch.equal(model.prototypes.source_index, model.examples[:, 0])
    torch.testing.assert_close(model.strengths[:, 0], output.similarities.amax(dim=0))
    assert (model.prototypes.source_index % 3 != 0).any()
    present = output.similarities >= 0.1
    assert model.prototypes.activations.tolist() == present.sum(dim=0).tolist()
    own = torch.arange(12) % 3 == 0
    means = (output.extras["used"] * model.weights()[0])[own].mean(dim=0)
    torch.testing.assert_close(model.mean_contributions[0], means)


# recipe


def test_the_schedule_is_the_papers():
    model = make(size=64, channels=3, encoder="test_resnet", module=None)
    assert [stage.name for stage in model.recipe().stages] == ["pretrain", "head", "all"]  # from scratch
    assert model.recipe().augment == "pipnet"
    assert model.recipe().batch_size == 64


def pretrained(name, size, tmp_path, **config):
    """A model whose encoder has weights of a file."""
    import timm

    path = tmp_path / f"{name}.pth"
    torch.save(timm.create_model(name, num_classes=3).state_dict(), path)
    return make(size=size, channels=3, encoder=name, weights=str(path), **config)


def names_of(model, parameters):
    known = {id(p): name for name, p in model.encoder.named_parameters()}
    return {".".join(known[id(p)].split(".")[:3]) for p in parameters}


def test_a_resnet_trains_its_end_first_and_never_its_stem(tmp_path):
    model = pretrained("test_resnet", 64, tmp_path)
    free, later = first_and_later(model.encoder, pretrained=True)
    assert names_of(model, free) == {"net.layer3.0", "net.layer4.0"}
    assert names_of(model, later) == {"net.layer2.0"}
    stages = model.recipe().stages
    assert [stage.name for stage in stages] == STAGES
    assert [stage.epochs for stage in stages] == [10, 3, 7, 50]
    assert [set(stage.groups) for stage in stages] == [
        {"free"},
        {"last"},
        {"free", "last"},
        {"free", "later", "last"},
    ]
    assert [stage.forgets("free") for stage in stages] == [False, False, True, False]
    assert not any(stage.forgets("last") for stage in stages)
    assert all(stage.optimizer == "adamw" for stage in stages)
    assert stages[-1].end == ("concepts", "assign", "usage")
    assert stages[0].groups["free"].lr == 5e-4
    assert stages[1].groups["last"].lr == 0.05
    model = pretrained("test_resnet", 64, tmp_path, free_layers="layer4.0", prototypes=9)
    assert names_of(model, model.parameter_groups()["free"]) == {"net.layer4.0"}
    assert model.recipe().stages[0].groups["addon"].lr == 5e-3
    with pytest.raises(UserError, match="no layer 'layer7'"):
        pretrained("test_resnet", 64, tmp_path, free_layers="layer7").recipe()


def test_a_convnext_trains_its_last_stage_first(tmp_path):
    model = pretrained("test_convnext", 64, tmp_path)
    free, later = first_and_later(model.encoder, pretrained=True)
    assert {name.split(".")[2] for name in names_of(model, free)} == {"3"}
    assert len(free) + len(later) == len(list(model.encoder.parameters()))


def rates(model, group):
    """The rate of a group in the middle of each epoch with classes, by epochs of the run."""
    found = []
    for stage in model.recipe().stages[1:]:
        for epoch in range(stage.epochs):
            if group not in stage.groups:
                found.append(0.0)
                continue
            own = stage.groups[group]
            found.append(
                own.lr * rate_factor(own.schedule or stage.schedule, 0, (epoch + 0.5) / stage.epochs)
            )
    return found


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_rates_fall_over_stages(variant, tmp_path):
    """As PyTorch's own schedulers do, which the authors step after each batch and by the share of the epoch."""
    model = pretrained("test_resnet", 64, tmp_path, variant=variant)
    weight = nn.Parameter(torch.zeros(()))
    head = torch.optim.AdamW([weight], lr=0.05)
    restarts = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(head, T_0=10, eta_min=0.001)
    expected = []
    for epoch in range(60):
        head.step()
        restarts.step(epoch + 0.5)
        expected.append(restarts.get_last_lr()[0])
    assert rates(model, "last") == pytest.approx(expected, rel=1e-5)
    steps = 2 * (60 if variant == "released" else 57)  # two steps an epoch, none in the first three
    net = torch.optim.AdamW([weight], lr=5e-4)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(net, T_max=steps, eta_min=5e-6)
    expected = [0.0] * 3
    for _ in range(57):
        net.step()
        cosine.step()
        expected.append(cosine.get_last_lr()[0])
        net.step()
        cosine.step()
    assert rates(model, "free") == pytest.approx(expected, rel=1e-4)


def test_short_recipes_restart_every_five_epochs():
    model = make(head_epochs=1, frozen_epochs=1, joint_epochs=8, pretrain_epochs=0)
    assert [stage.name for stage in model.recipe().stages] == ["head", "all"]
    assert model.recipe().stages[0].groups["last"].schedule.cycles == 2


def test_weights_shrink_after_each_step_with_classes():
    model = make()
    start = model.last.weight.detach().clone()
    model.before_step(moment("pretrain"))
    with torch.no_grad():
        model.after_step()
        assert torch.equal(model.last.weight, start)
        model.before_step(moment("all"))
        model.after_step()
    torch.testing.assert_close(model.last.weight, (start - 1e-3).clamp_min(0))


def test_evaluation_shrinks_nothing_and_takes_no_stage_into_account():
    """The released evaluation takes 0.001 from all weights for each batch of images."""
    model = sharp().eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    images, labels = torch.rand(5, 1, 28, 28), torch.tensor([0, 1, 2, 0, 1])
    output = model(images)
    terms = model.loss(output, labels)
    model.before_step(moment("pretrain"))
    again = model.loss(model(images), labels)
    assert {k: v.item() for k, v in terms.items()} == {k: v.item() for k, v in again.items()}
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor.nan_to_num(7), before[name].nan_to_num(7)), name
    own = plain_terms(output.latents.detach(), output.latents.detach(), model.last.weight.detach(), labels)
    assert terms["align"].item() == pytest.approx(5 * own["align"], rel=1e-4)


def test_initial_weights_are_near_one():
    model = make(classes=50)
    assert model.last.weight.mean().item() == pytest.approx(1, abs=0.01)
    assert model.last.weight.std().item() == pytest.approx(0.1, abs=0.01)
    assert model.last.bias is None


def test_an_image_of_a_class_without_points_leaves_the_loss_finite():
    model = sharp().train()
    with torch.no_grad():
        model.last.weight.fill_(-1)
    output = model(torch.rand(2, 1, 28, 28))
    assert isinstance(output, Output)
    total = sum(model.loss(output, torch.tensor([0, 1])).values())
    total.backward()
    assert total.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"prototypes": 0}, "at least 1"),
        ({"finer": -1}, "at least 0"),
        ({"least_presence": 1.5}, "at most 1"),
        ({"view_strength": -0.5}, "at least 0"),
        ({"rate": 0.0}, "above 0"),
        ({"free_layers": "layers"}, "encoder with weights"),
    ],
)
def test_impossible_settings_are_refused(settings, words):
    with pytest.raises(UserError, match=words):
        PIPNetConfig(encoder="small", **settings)


def test_too_coarse_maps_are_refused():
    with pytest.raises(UserError, match="4x4"):
        make(size=64, channels=3, encoder="test_resnet", finer=0)
