"""Stages, rates and settings of PIP-Net."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from methods.pipnet.small_models import make, step_of
from recipe_lines import recipe_lines
from resemblance.config.errors import UserError
from resemblance.methods.pipnet.config import PIPNetConfig
from resemblance.methods.pipnet.stages import first_and_later
from resemblance.training.engine.optimizers import rate_factor

STAGES = ["pretrain", "head", "last layers", "all"]


def pretrained(name, size, tmp_path, **config):
    """Make a model whose encoder has weights from a file."""
    import timm

    path = tmp_path / f"{name}.pth"
    torch.save(timm.create_model(name, num_classes=3).state_dict(), path)
    return make(size=size, channels=3, encoder=name, weights=str(path), **config)


def names_of(model, parameters):
    known = {id(p): name for name, p in model.encoder.named_parameters()}
    return {".".join(known[id(p)].split(".")[:3]) for p in parameters}


def test_a_resnet_trains_its_last_layers_first_and_never_its_stem(tmp_path):
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
    """Return the rate of a group in the middle of each epoch with classes."""
    group_rates = []
    for stage in model.recipe().stages[1:]:
        for epoch in range(stage.epochs):
            if group not in stage.groups:
                group_rates.append(0.0)
                continue
            settings = stage.groups[group]
            group_rates.append(
                settings.lr
                * rate_factor(settings.schedule or stage.schedule, 0, (epoch + 0.5) / stage.epochs)
            )
    return group_rates


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_rates_fall_over_stages(variant, tmp_path):
    """Compare with PyTorch's schedulers, which the authors step after each batch, by the share of the epoch."""
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
    steps = 2 * (60 if variant == "released" else 57)  # two steps per epoch, none in the first three
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


@pytest.mark.parametrize(("epochs", "cycles"), [(10, 2), (30, 6), (31, 3), (60, 6)])
def test_recipes_of_up_to_thirty_epochs_restart_every_five(epochs, cycles):
    model = make(head_epochs=1, frozen_epochs=1, joint_epochs=epochs - 2, pretrain_epochs=0)
    assert [stage.name for stage in model.recipe().stages] == ["head", "all"]
    assert model.recipe().stages[0].groups["last"].schedule.cycles == cycles


def test_weights_shrink_after_each_step_with_classes():
    model = make()
    start = model.last.weight.detach().clone()
    model.before_step(step_of("pretrain"))
    with torch.no_grad():
        model.after_step()
        assert torch.equal(model.last.weight, start)
        model.before_step(step_of("all"))
        model.after_step()
    torch.testing.assert_close(model.last.weight, (start - 1e-3).clamp_min(0))


def test_initial_weights_are_near_one():
    model = make(classes=50)
    assert model.last.weight.mean().item() == pytest.approx(1, abs=0.01)
    assert model.last.weight.std().item() == pytest.approx(0.1, abs=0.01)
    assert model.last.bias is None


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


END = "; then concepts, assign, usage"


@pytest.mark.parametrize(
    ("variant", "whole", "last_layers", "rest"),
    [
        (
            "paper",
            "",
            " from 0.0000 to 0.1228",
            " from 0.1228 to 1.0000",
        ),  # 57 epochs: all but the first three
        ("released", " from 0.0000 to 0.9500", " from 0.0000 to 0.1167", " from 0.1167 to 0.9500"),  # of 60
    ],
)
def test_the_recipe_is_the_papers(variant, whole, last_layers, rest):
    scratch = make(variant=variant)
    sheet = "last 0.05 (cosine to x 0.02 from {} in 6 cycles), constant"
    head = "head: 3 epochs of adamw, " + sheet.format("0.0000 to 0.0500")
    assert recipe_lines(scratch.recipe()) == [
        "batches of 64, augment pipnet",
        "pretrain: 10 epochs of adamw, free 0.0005, cosine to x 0.01",
        head,
        f"all: 57 epochs of adamw, free 0.0005 (cosine to x 0.01{whole}), "
        f"{sheet.format('0.0500 to 1.0000')}{END}; fresh free",
    ]
    trained = make(size=64, channels=3, encoder="test_resnet", prototypes=9, variant=variant)
    trained.config.weights = "trained"
    early = f"free 0.0005 (cosine to x 0.01{last_layers}), addon 0.005 (cosine to x 0.01{last_layers})"
    late = ", ".join(
        f"{name} (cosine to x 0.01{rest})" for name in ("free 0.0005", "later 0.0005", "addon 0.005")
    )
    assert recipe_lines(trained.recipe()) == [
        "batches of 64, augment pipnet",
        "pretrain: 10 epochs of adamw, free 0.0005, addon 0.005, cosine to x 0.01",
        head,
        f"last layers: 7 epochs of adamw, {early}, {sheet.format('0.0500 to 0.1667')}; fresh free, addon",
        f"all: 50 epochs of adamw, {late}, {sheet.format('0.1667 to 1.0000')}{END}",
    ]
