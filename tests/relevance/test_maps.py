"""The one call for maps, on every registered method."""

from __future__ import annotations

import pytest
import torch

from cases import VARIANTS
from models import batch, make
from resemblance.config.errors import UserError
from resemblance.core.prototype_model import PrototypeModel
from resemblance.methods.ensemble.model import make_ensemble
from resemblance.prototypes.maps import upsample
from resemblance.relevance.maps import class_maps, prototype_maps
from resemblance.relevance.similarity import default_kind

BY_GRADIENT = ["gradient", "smoothgrad", "integrated"]
QUICK = {"samples": 2, "steps": 2}


def model_of(variant):
    """A model in training mode with settings that a caller might have changed, in double precision."""
    method, settings = VARIANTS[variant]
    model = make(method, size=(29, 26), **settings).double().train()
    next(model.parameters()).requires_grad_(False)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.ones_like(parameter)
            break
    return model


def state(model):
    return {
        "modes": [module.training for module in model.modules()],
        "wanted": [parameter.requires_grad for parameter in model.parameters()],
        "gradients": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "tensors": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
    }


def assert_unharmed(model, before):
    after = state(model)
    for key in ("modes", "wanted", "hooks"):
        assert before[key] == after[key], key
    for old, new in zip(before["gradients"], after["gradients"], strict=True):
        assert torch.equal(old, new) if old is not None else new is None
    for name, tensor in before["tensors"].items():
        assert torch.equal(tensor.nan_to_num(7.0), after["tensors"][name].nan_to_num(7.0)), name


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_method_has_maps_of_its_prototypes_and_classes(variant):
    model = model_of(variant)
    images, classes = batch(model)
    before = state(model)
    if isinstance(model, PrototypeModel):
        which = torch.tensor([1, 0])
        kinds = BY_GRADIENT + ["similarity"] * model.traits.maps
        for kind in kinds:
            maps = prototype_maps(model, images, which, kind, **QUICK)
            assert maps.shape == (4, 2, 29, 26), kind
            assert maps.isfinite().all(), kind
            single = [
                prototype_maps(model, images[row : row + 1], which[k : k + 1], kind, **QUICK)[0, 0]
                for row, k in ((2, 1), (3, 0))
            ]
            tolerance = (
                {"rtol": 1e-5, "atol": 1e-6} if kind == "similarity" else {"rtol": 1e-7, "atol": 1e-10}
            )
            torch.testing.assert_close(
                torch.stack([maps[2, 1], maps[3, 0]]), torch.stack(single), **tolerance
            )
        assert default_kind(model) == ("similarity" if model.traits.maps else "smoothgrad")
    for kind in BY_GRADIENT:
        if not model.traits.differentiable:
            with pytest.raises(UserError, match="have no gradient, because a single leaf"):
                class_maps(model, images, classes, kind)
            continue
        maps = class_maps(model, images, classes, kind, **QUICK)
        assert maps.shape == (4, 29, 26), kind
        assert maps.isfinite().all(), kind
        single = class_maps(model, images[3:], classes[3:], kind, **QUICK)
        torch.testing.assert_close(maps[3:], single, rtol=1e-7, atol=1e-10)
    assert_unharmed(model, before)


def test_the_map_of_a_prototype_is_that_of_its_similarity():
    model = make("kmex", encoder="small", prototypes_per_class=2).double()
    model.prototypes.vectors.data.normal_()
    images, _ = batch(model)
    maps = prototype_maps(model, images, torch.tensor([4, 1]), "integrated", steps=64)
    model.eval()
    flat = images.double().mean(dim=(2, 3), keepdim=True).expand(-1, -1, 28, 28)
    difference = model(images.double()).similarities - model(flat).similarities
    torch.testing.assert_close(maps.sum(dim=(2, 3)), difference[:, [4, 1]], rtol=0.02, atol=1e-4)


def test_the_map_of_a_class_is_that_of_its_score():
    model = make("blackbox", encoder="small").double()
    images, classes = batch(model)
    maps = class_maps(model, images, classes, "gradient")
    model.eval()
    variable = images.double().requires_grad_()
    model(variable).scores.gather(1, classes[:, None]).sum().backward()
    torch.testing.assert_close(maps, (variable.grad * images).sum(dim=1))


def test_similarity_maps_are_the_layers_enlarged_for_each_images_own_prototypes():
    model = make("protopnet", encoder="small").eval()
    images, _ = batch(model)
    which = torch.tensor([[0, 7], [7, 3], [1, 1], [29, 0]])
    maps = prototype_maps(model, images, which)
    with torch.no_grad():
        layer_maps = model.prototypes.maps(model.latents(images))
    for row in range(4):
        for k in range(2):
            torch.testing.assert_close(maps[row, k], upsample(layer_maps[row, which[row, k]], (28, 28)))


def test_each_images_own_prototypes_have_the_maps_that_all_would_have():
    model = make("protopnet", encoder="small").double().eval()
    images, _ = batch(model)
    which = torch.tensor([[0, 7], [7, 3], [1, 1], [29, 0]])
    maps = prototype_maps(model, images, which, "gradient")
    every = prototype_maps(model, images, torch.arange(30), "gradient")
    torch.testing.assert_close(maps, every[torch.arange(4)[:, None], which], rtol=1e-9, atol=1e-12)


def test_ensembles_have_the_maps_of_their_members():
    members = [make("protopnet", encoder="small", seed=seed).eval() for seed in (0, 1)]
    both = make_ensemble(members)
    images, classes = batch(both)
    own = [prototype_maps(member, images, torch.tensor([2]), kind="gradient") for member in members]
    joint = prototype_maps(both, images, torch.tensor([2, 32]), kind="gradient")
    torch.testing.assert_close(joint, torch.cat(own, dim=1))
    own = [prototype_maps(member, images, torch.tensor([2])) for member in members]
    torch.testing.assert_close(prototype_maps(both, images, torch.tensor([2, 32])), torch.cat(own, dim=1))
    total = sum(class_maps(member, images, classes) for member in members)
    torch.testing.assert_close(class_maps(both, images, classes), total)


def test_a_member_without_maps_of_similarity_is_refused_where_it_is_asked_for():
    both = make_ensemble([make("protopnet", encoder="small"), make("kmex", encoder="small")])
    images, _ = batch(both)
    assert prototype_maps(both, images, torch.tensor([0])).shape == (4, 1, 28, 28)
    with pytest.raises(UserError, match="prototype 30 has no similarity map"):
        prototype_maps(both, images, torch.tensor([0, 30]))


def test_maps_can_be_computed_where_gradients_are_switched_off():
    model = make("protopnet", encoder="small").eval()
    images, classes = batch(model)
    expected = prototype_maps(model, images, classes, "gradient")
    with torch.no_grad():
        torch.testing.assert_close(prototype_maps(model, images, classes, "gradient"), expected)
    with torch.inference_mode():
        inside = prototype_maps(model, images.clone(), classes.clone(), "gradient")
        torch.testing.assert_close(inside, expected)
        assert class_maps(model, images.clone(), classes.clone()).shape == (4, 28, 28)


def test_nothing_asked_for_gives_an_empty_result():
    model = make("protopnet", encoder="small")
    images, classes = batch(model)
    nothing = torch.zeros(0, dtype=torch.int64)
    for kind in ("similarity", "gradient"):
        assert prototype_maps(model, images, nothing, kind).shape == (4, 0, 28, 28)
        assert prototype_maps(model, images[:0], torch.tensor([1]), kind).shape == (0, 1, 28, 28)
    assert class_maps(model, images[:0], classes[:0]).shape == (0, 28, 28)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "gradcam"}, "no map 'gradcam'"),
        ({"kind": "smoothgrads"}, "did you mean 'smoothgrad'"),
        ({"which": torch.tensor([30])}, "no prototype 30; it has 0 to 29"),
        ({"which": torch.tensor([-1])}, "no prototype -1"),
        ({"which": torch.tensor([0.0])}, "must be whole numbers"),
        ({"which": torch.zeros(2, 1, dtype=torch.int64)}, r"which must be \(K,\) or \(4, K\)"),
        ({"images": torch.rand(4, 3, 28, 28)}, r"shape \(B, 1, 28, 28\)"),
        ({"images": torch.rand(28, 28)}, r"shape \(B, 1, 28, 28\)"),
        ({"kind": "smoothgrad", "samples": 0}, "samples must be at least 1"),
        ({"kind": "integrated", "steps": 0}, "steps must be at least 1"),
    ],
)
def test_bad_input_gets_one_line(arguments, message):
    model = make("protopnet", encoder="small")
    images, _ = batch(model)
    with pytest.raises(UserError, match=message) as error:
        prototype_maps(model, **{"images": images, "which": torch.tensor([0]), **arguments})
    assert "\n" not in str(error.value)


def test_bad_classes_and_models_get_one_line():
    model = make("blackbox", encoder="small")
    images, classes = batch(model)
    for wrong, message in ((classes + 1, "no class 3"), (classes[:2], r"classes must be \(4,\)")):
        with pytest.raises(UserError, match=message):
            class_maps(model, images, wrong)
    with pytest.raises(UserError, match="belongs to a prototype"):
        class_maps(model, images, classes, "similarity")
    with pytest.raises(UserError, match="blackbox has no prototypes; ask for class_maps"):
        prototype_maps(model, images, torch.tensor([0]))
    with pytest.raises(UserError, match="compares whole images"):
        prototype_maps(make("prototypedl"), images, torch.tensor([0]))
