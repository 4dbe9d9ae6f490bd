"""Deformable ProtoPNet against the fact sheet's values and a plain re-implementation."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from looking_glass import batches
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.core.training_step import TrainingStep
from resemblance.methods.deformable.angles import (
    class_bases,
    orthogonality,
    released_orthogonality,
    with_margin,
)
from resemblance.methods.deformable.deform import corners, sample, strongest
from resemblance.methods.registry import build
from resemblance.training.ends.projection import project

VARIANTS = pytest.mark.parametrize("variant", ["paper", "released"])


def make(classes=3, size=28, channels=1, moving=0.0, **config):
    """A model whose offsets are of about ``moving`` cells."""
    image = ImageSpec(size, size, channels, (0.5,) * channels, (0.25,) * channels)
    spec = ModelSpec(tuple(f"class {c}" for c in range(classes)), image)
    torch.manual_seed(0)
    settings = {"encoder": "small", "prototypes_per_class": 2, "offset_channels": 4, "upsample": 1, **config}
    model = build("deformable", settings, spec)
    if moving:
        for layer in (model.offsets[0], model.offsets[2]):
            nn.init.normal_(layer.weight, std=0.05)
            nn.init.normal_(layer.bias, std=moving)
    return model


def glass(vectors, classes=2, variant="paper", parts=2):
    """A model for maps of vectors' depth: parts (P, D), the same in all places of a prototype."""
    count, depth = vectors.shape
    settings = {"addon": "regular", "prototype_depth": depth, "parts": parts, "variant": variant}
    model = make(classes, prototypes_per_class=count // classes, **settings)
    with torch.no_grad():
        model.prototypes.vectors[:, :depth] = vectors[:, :, None, None]
    return model.eval()


def see(model, z, offsets=None):
    """Latents of a raw map (B, D, H, W), with given offsets (B, 2ρ, h, w)."""
    z = model.unit_vectors(z)
    height, width = model.window_grid(z)
    if offsets is None:
        offsets = z.new_zeros(len(z), 2 * model.rho, height, width)
    return torch.cat([z, F.pad(offsets, (0, z.shape[3] - width, 0, z.shape[2] - height))], dim=1)


# the fact sheet's values


@pytest.mark.parametrize(("length", "expected"), [(1.0, 0.98990), (100.0, 0.99010)])
def test_the_authors_cosine_of_equal_vectors_has_the_fact_sheets_values(length, expected):
    direction = F.normalize(torch.rand(1, 8, generator=torch.Generator().manual_seed(1)))
    for variant, value in (("released", expected), ("paper", 1.0)):
        model = glass(length * direction.repeat(2, 1), variant=variant)
        latents = see(model, (length * direction).reshape(1, 8, 1, 1).expand(1, 8, 4, 4))
        assert model.head(latents).similarities[0, 0].item() == pytest.approx(value, abs=1e-5)


def test_the_margin_has_the_fact_sheets_value():
    assert with_margin(torch.tensor(0.8), 0.1).item() == pytest.approx(0.85590, abs=1e-5)


def test_the_midpoint_has_the_fact_sheets_value_and_length():
    features = torch.eye(2).reshape(1, 2, 1, 2)
    half = torch.tensor([[[0.5, 0.5, 0.0, 0.0]]])
    seen = sample(features, torch.tensor([0]), torch.tensor([[[0, 1, 0, 0]]]), half)
    assert seen.flatten().tolist() == [pytest.approx(0.7071, abs=1e-4)] * 2
    assert seen.norm().item() == pytest.approx(1.0)


def test_class_grams_have_the_fact_sheets_values():
    equal, orthogonal = torch.eye(3)[[0, 0]][None], torch.eye(3)[[0, 1]][None]
    assert released_orthogonality(equal, 1).item() == pytest.approx(math.sqrt(2))
    assert released_orthogonality(orthogonal, 1).item() == 0
    assert orthogonality(equal, 1.0).item() == pytest.approx(2.0)
    assert orthogonality(orthogonal, 1.0).item() == 0


# plain re-implementations


def plain_seen(z, offsets, window, part, parts):
    """What a part of a window sees of one map z (E, H, W)."""
    (a, b), (m, n) = window, part
    index = 2 * (m * parts + n)
    y = a - 1 + 2 * m + offsets[index, a, b].item()
    x = b - 1 + 2 * n + offsets[index + 1, a, b].item()
    total = torch.zeros(z.shape[0])
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < z.shape[1] and 0 <= column < z.shape[2]:
                total += (1 - abs(y - row)) * (1 - abs(x - column)) * z[:, row, column] ** 2
    return total.sqrt()


def plain_forward(model, images):
    released, parts = model.released, model.config.parts
    raw = model.encoder.map(model.encoder.features(model.normalize(images))).detach()
    raw = F.relu(model.addon(raw)).detach()
    if model.config.upsample > 1:
        raw = F.interpolate(raw, scale_factor=model.config.upsample, mode="bilinear")
    uniform, extra = (2, 1e-4) if released else (1, 0.0)
    z = torch.cat([raw, torch.full((len(raw), uniform, *raw.shape[2:]), 1e-4)], dim=1)
    z = z / ((z**2).sum(1, keepdim=True) + extra).sqrt() / parts
    vectors = model.prototypes.vectors.detach()[:, : raw.shape[1]]
    p = torch.cat([vectors, torch.full((len(vectors), uniform, parts, parts), 1e-4)], dim=1)
    p = p / (((p**2).sum(1, keepdim=True) + extra).sqrt() + extra) / parts
    first, _, second = model.offsets
    hidden = F.relu(F.conv2d(64 * z, first.weight, first.bias, padding=1))
    offsets = F.conv2d(hidden, second.weight, second.bias, padding=1).detach()
    height, width = offsets.shape[2:]
    maps = torch.zeros(len(images), len(p), height, width)
    for i in range(len(images)):
        for a in range(height):
            for b in range(width):
                for m in range(parts):
                    for n in range(parts):
                        seen = plain_seen(z[i], offsets[i], (a, b), (m, n), parts)
                        maps[i, :, a, b] += p[:, :, m, n] @ seen
    if released:
        maps = (maps / 1.01).relu()
    return maps


def plain_orthogonality(model):
    vectors, owners = model.prototypes.vectors.detach()[:, : model.depth], model.prototypes.owners
    parts = vectors.flatten(2).transpose(1, 2)  # (P, ρ, D)
    if model.released:
        unit = parts / ((parts**2).sum(2, keepdim=True) + 1e-4).sqrt()
        unit = unit.reshape(model.config.prototypes_per_class, -1, parts.shape[2])
        return sum(((rows @ rows.T - torch.eye(len(rows))) ** 2).sum() for rows in unit).sqrt().item()
    total = 0.0
    for c in range(owners.shape[1]):
        rows = F.normalize(parts[owners[:, c]].reshape(-1, parts.shape[2]), dim=1) / math.sqrt(model.rho)
        total += ((rows @ rows.T - torch.eye(len(rows)) / model.rho) ** 2).sum().item()
    return total


@VARIANTS
@pytest.mark.parametrize(("parts", "upsample"), [(2, 1), (3, 1), (2, 2)])
def test_forward_and_losses_agree_with_a_plain_re_implementation(variant, parts, upsample):
    model = make(variant=variant, parts=parts, upsample=upsample, moving=0.7, addon="regular").eval()
    images, labels = torch.rand(3, 1, 28, 28), torch.tensor([0, 2, 1])
    output = model(images)
    maps = plain_forward(model, images)
    assert torch.allclose(model.similarity_maps(output.latents), maps, rtol=1e-5, atol=1e-6)
    similarities = maps.flatten(2).amax(2)
    assert torch.allclose(output.similarities, similarities, rtol=1e-5)
    weights = model.last.weight.detach()
    assert torch.allclose(output.scores, similarities @ weights.T, rtol=1e-5, atol=1e-5)
    own = model.prototypes.owners.T[labels]
    nearer = torch.cos((torch.arccos(similarities.clamp(max=1)) - 0.1).relu())
    nearer = torch.where(own, similarities, nearer)
    cluster = sum(nearer[i][own[i]].max().item() for i in range(3)) / 3
    separation = sum(nearer[i][~own[i]].max().item() for i in range(3)) / 3
    terms = {name: term.item() for name, term in model.loss(output, labels).items()}
    expected = F.cross_entropy(nearer @ weights.T, labels).item()
    assert terms["cross_entropy"] == pytest.approx(expected, rel=1e-5)
    assert terms["cluster"] == pytest.approx(-0.8 * cluster, rel=1e-5)
    assert terms["separation"] == pytest.approx(0.08 * separation, rel=1e-5)
    assert terms["orthogonality"] == pytest.approx(0.1 * plain_orthogonality(model), rel=2e-4)
    assert terms["l1"] == pytest.approx(1e-2 * 0.5 * 2 * 6, rel=1e-5)


def test_classes_with_few_prototypes_are_orthogonal_as_plainly_as_others():
    model = make()
    model.keep(torch.tensor([0, 2, 3, 5]))
    found = model.loss(model.eval()(torch.rand(2, 1, 28, 28)), torch.tensor([0, 1]))["orthogonality"]
    assert found.item() == pytest.approx(0.1 * plain_orthogonality(model), rel=1e-4)


def test_bases_hold_the_parts_of_each_class_and_nothing_else():
    parts = torch.arange(1, 9.0).reshape(4, 2, 1)
    owners = torch.tensor([[0, 0, 1], [1, 0, 0], [0, 0, 1], [0, 0, 1]]).bool()
    assert class_bases(parts, owners)[:, :, 0].tolist() == [
        [3, 4, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [1, 2, 5, 6, 7, 8],
    ]


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), parts=st.sampled_from([2, 3]), far=st.sampled_from([0.4, 3.0]))
def test_lengths_are_preserved_within_the_map_and_lost_beyond_it(seed, parts, far):
    generator = torch.Generator().manual_seed(seed)
    features = F.normalize(torch.rand(1, 5, 9, 9, generator=generator), dim=1)
    side = 9 + 4 - 2 * parts
    offsets = far * torch.randn(1, 2 * parts**2, side, side, generator=generator)
    cells, weights = corners(offsets, (9, 9), parts)
    count = cells.shape[1]
    images = torch.zeros(count, dtype=torch.int64)
    lengths = sample(features, images, cells[0], weights[0]).norm(dim=2)  # (h·w, ρ)
    inside = weights[0].sum(dim=2)
    assert torch.allclose(lengths, inside.sqrt(), atol=1e-5)
    assert (inside < 1.0001).all()


@VARIANTS
def test_gradients_are_those_of_the_plain_formula(variant):
    """Of features, offsets and prototypes, by finite differences."""
    model = make(2, variant=variant, parts=2, addon="regular", prototype_depth=3).double()
    generator = torch.Generator().manual_seed(3)
    z = torch.rand(2, 3, 4, 4, generator=generator, dtype=torch.float64) + 0.1
    offsets = 0.3 * torch.randn(2, 8, 4, 4, generator=generator, dtype=torch.float64)
    vectors = model.prototypes.vectors.detach().clone()

    def pooled(z, offsets, vectors):
        latents = see(model, z, offsets)
        rows = model._rows(model.normalized(vectors))
        return strongest(model._windows(latents), rows)[0]

    inputs = [tensor.requires_grad_() for tensor in (z, offsets, vectors)]
    assert torch.autograd.gradcheck(pooled, inputs, atol=1e-6)


def test_the_cheap_gradient_is_the_dense_one():
    generator = torch.Generator().manual_seed(0)
    windows = torch.rand(3, 7, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    vectors = torch.rand(4, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    grad = torch.rand(3, 4, generator=generator, dtype=torch.float64)
    values, places = strongest(windows, vectors)
    dense = windows @ vectors.T
    assert torch.equal(places, dense.argmax(dim=1))
    found = torch.autograd.grad(values, (windows, vectors), grad)
    expected = torch.autograd.grad(dense.amax(dim=1), (windows, vectors), grad)
    assert all(torch.allclose(a, b) for a, b in zip(found, expected, strict=True))
    only = strongest(windows.detach(), vectors)[0]
    assert torch.allclose(torch.autograd.grad(only, vectors, grad)[0], expected[1])


def test_black_maps_and_wild_offsets_are_no_trouble():
    model = glass(torch.eye(2), parts=3)
    z = torch.zeros(2, 2, 6, 6, requires_grad=True)
    offsets = torch.zeros(2, 18, 4, 4)
    offsets[1] = 1e9
    offsets[1, 0] = -torch.inf
    offsets.requires_grad_()
    output = model.head(see(model, z, offsets))
    assert output.similarities[1].tolist() == [0, 0]  # nothing is beyond the map
    sum(model.loss(output, torch.tensor([0, 1]))[name] for name in ("cross_entropy", "cluster")).backward()
    assert z.grad.isfinite().all()
    assert offsets.grad[0].isfinite().all()


def test_the_margin_has_gradients_everywhere():
    for margin in (0.0, 0.1):
        a = torch.tensor([-1.0, 0.0, 0.5, math.cos(0.1), 0.999, 1.0, 1.0000001], requires_grad=True)
        with_margin(a, margin).sum().backward()
        assert a.grad.isfinite().all()
        if margin == 0:
            assert torch.allclose(with_margin(a, margin), a.clamp(max=1))


def test_no_tensor_of_images_by_prototypes_by_channels_is_built():
    """2000 prototypes of nine parts of 512 channels: 16 images would take 550 MiB."""
    sizes = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            sizes.extend(part.numel() for part in [result] if isinstance(part, torch.Tensor))
            return result

    batch, count, length, prototypes = 2, 25, 64, 4000
    windows = torch.rand(batch, count, length, requires_grad=True)
    vectors = torch.rand(prototypes, length, requires_grad=True)
    with Watch():
        strongest(windows, vectors)[0].sum().backward()
    assert max(sizes) <= max(batch * count * prototypes, prototypes * length)


# what surrounds them


def test_images_of_a_class_without_prototypes_leave_the_losses_finite():
    model = make(classes=2, prototypes_per_class=1)
    model.keep(torch.tensor([0]))
    terms = model.loss(model(torch.rand(4, 1, 28, 28)), torch.tensor([1, 1, 1, 1]))
    sum(terms.values()).backward()
    assert sum(terms.values()).isfinite()
    assert terms["cluster"].item() == 0


def test_the_uniform_channels_of_prototypes_are_not_read():
    model = make().eval()
    images = torch.rand(2, 1, 28, 28)
    before = model(images).scores
    with torch.no_grad():
        model.prototypes.vectors[:, model.depth :] = 7
    output = model(images)
    assert torch.equal(output.scores, before)
    sum(model.loss(output, torch.tensor([0, 1])).values()).backward()
    assert (model.prototypes.vectors.grad[:, model.depth :] == 0).all()
    assert (model.prototypes.vectors.grad[:, : model.depth] != 0).any()


def test_offsets_are_trained_and_start_at_about_nothing():
    model = make()
    output = model(torch.rand(2, 1, 28, 28))
    assert 0 < model._apart(output.latents)[1].abs().max() < 1e-3
    sum(model.loss(output, torch.tensor([0, 1])).values()).backward()
    assert model.offsets[0].weight.grad.abs().sum() > 0
    assert model.embed(output.latents).shape == (2, model.channels)


def test_maps_that_have_signs_are_rectified():
    net = nn.Sequential(nn.Conv2d(1, 6, 3, 4, padding=1))
    spec = ModelSpec(("a", "b"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
    model = build("deformable", {"encoder": "own:net", "offset_channels": 4}, spec, module=net).eval()
    output = model(torch.randn(2, 1, 28, 28))
    assert (output.latents[:, : model.channels] >= 0).all()
    assert output.scores.isfinite().all()


def test_boxes_of_parts_are_their_cells_and_move_with_the_offsets():
    model = make(parts=2, upsample=2).eval()  # 14 × 14 cells of 2 pixels
    offsets = torch.zeros(1, 8, 14, 14)
    offsets[0, 2:4, 3, 4] = torch.tensor([0.5, -1.25])  # the second part
    latents = torch.cat([torch.rand(1, model.channels, 14, 14), offsets], dim=1)
    boxes = model.part_boxes(latents, torch.tensor([0]), torch.tensor([3 * 14 + 4]))
    assert boxes[0].tolist() == [[6, 4, 8, 6], [7.5, 5, 9.5, 7], [6, 8, 8, 10], [10, 8, 12, 10]]


# projection


def scene(variant="paper", images=9, seed=0, parts=2):
    generator = torch.Generator().manual_seed(seed)
    z = torch.rand(images, 6, 5, 5, generator=generator).square()
    z[5] = z[3]  # a duplicate image
    labels = torch.arange(images) % 2
    model = glass(torch.rand(4, 6, generator=generator), variant=variant, parts=parts)
    with torch.no_grad():
        model.prototypes.vectors[:, :6] = torch.rand(4, 6, parts, parts, generator=generator)
    side = 9 - 2 * parts
    offsets = 0.6 * torch.randn(images, 2 * parts**2, side, side, generator=generator)
    offsets[5] = offsets[3]
    return model, see(model, z, offsets), labels


def plain_push(model, latents, labels):
    """For each prototype the first image of its class with the largest g, and what its parts see there."""
    maps, found = model.similarity_maps(latents), []
    z, offsets = model._apart(latents)
    parts, width = model.config.parts, maps.shape[3]
    for j in range(len(model.prototypes)):
        best = (-math.inf, -1, None)
        for i, label in enumerate(labels.tolist()):
            if model.prototypes.owners[j, label] and maps[i, j].max() > best[0] + 1e-6:
                cell = int(maps[i, j].argmax())
                window = divmod(cell, width)
                seen = torch.stack(
                    [
                        plain_seen(z[i], offsets[i], window, (m, n), parts)
                        for m in range(parts)
                        for n in range(parts)
                    ],
                    dim=1,
                )
                best = (maps[i, j].max(), i, seen.reshape(-1, parts, parts))
        found.append(best)
    return found


@VARIANTS
@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize("batch", [9, 4])
def test_projection_stores_what_the_parts_see_and_a_second_one_moves_nothing(variant, parts, batch):
    model, latents, labels = scene(variant, parts=parts)
    expected = plain_push(model, latents, labels)
    project(model, batches_of(model, latents, labels, batch))
    for j, (_, index, seen) in enumerate(expected):
        assert model.prototypes.source_index[j] == index
        assert torch.allclose(model.prototypes.vectors[j], seen, atol=1e-6)
    before = copy.deepcopy(model.state_dict())
    report = project(model, batches_of(model, latents, labels, batch))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert report.largest_moved == 0


def batches_of(model, latents, labels, size):
    """Latents as if they were images."""
    model.latents = lambda images: images
    return batches(latents, labels, size)


def test_no_windows_are_no_trouble():
    """As where no image of a batch comes nearer than those before."""
    model, latents, _ = scene()
    none = torch.zeros(0, dtype=torch.int64)
    assert model.patch_vectors(latents, none, none).shape == (0, 7, 2, 2)
    assert model.similarity_maps(latents[:0]).shape == (0, 4, 5, 5)


def test_a_projected_prototype_is_wholly_there_in_its_source():
    """Where all its parts lie on the map: the interpolation that it is made by is the one that it is read by."""
    generator = torch.Generator().manual_seed(0)
    model = glass(torch.rand(2, 6, generator=generator))
    z = torch.rand(2, 6, 7, 7, generator=generator).square()
    offsets = 0.4 * torch.rand(2, 8, 7, 7, generator=generator)
    latents, labels = see(model, z, offsets), torch.tensor([0, 1])
    cells = torch.tensor([3 * 7 + 3, 2 * 7 + 4])
    with torch.no_grad():
        model.prototypes.vectors.copy_(model.patch_vectors(latents, torch.tensor([0, 1]), cells))
    project(model, batches_of(model, latents, labels, 2))
    assert model.match(latents).cells.diagonal().tolist() == cells.tolist()
    assert model.head(latents).similarities.diagonal().tolist() == [pytest.approx(1, abs=1e-6)] * 2


# recipe, training, configuration


def test_the_schedule_is_the_authors():
    recipe = make().recipe()
    assert [stage.name for stage in recipe.stages] == [
        "warm",
        "warm encoder",
        "joint 1",
        "last layer 1",
        "joint 2",
        "last layer 2",
    ]
    assert [stage.epochs for stage in recipe.stages] == [5, 5, 10, 20, 10, 20]
    assert [stage.end for stage in recipe.stages] == [(), (), ("project",), (), ("project",), ()]
    assert (recipe.epochs, recipe.batch_size) == (30, 80)
    joint = recipe.stages[2]
    assert joint.groups["offsets"].lr == 1e-4
    assert (joint.schedule.size, joint.schedule.gamma, joint.schedule.first) == (5, 0.2, 0)
    assert [stage.fresh for stage in recipe.stages] == [False, True, True, False, False, False]
    assert recipe.stages[-1].candidate


def test_pretrained_encoders_wait_for_the_second_stage():
    model = make()
    model.config.weights = "some.safetensors"
    stages = model.recipe().stages
    assert list(stages[0].groups) == ["prototypes"]
    assert stages[1].groups["encoder"].lr == 1e-4
    assert "offsets" not in stages[1].groups


def test_the_published_run_keeps_the_last_layer():
    stages = make(variant="released").recipe().stages
    assert all("last" not in stage.groups for stage in stages)
    assert [stage.candidate for stage in stages] == [False, False, True, True]


def test_orthogonality_counts_from_the_joint_stage_on():
    model = make()
    output = model(torch.rand(2, 1, 28, 28))
    for stage, counts in (
        ("warm", False),
        ("warm encoder", False),
        ("joint 1", True),
        ("last layer 1", True),
    ):
        model.before_step(TrainingStep(stage, epoch=0, epochs=1, before=0, step=0, steps=1))
        assert (model.loss(output, torch.tensor([0, 1]))["orthogonality"].item() > 0) == counts


def test_the_settings_of_the_paper():
    spec = make().spec
    torch.manual_seed(0)
    model = build("deformable", {"encoder": "small"}, spec)
    config = model.config
    assert model.prototypes.vectors.shape == (18, 129, 3, 3)
    assert (config.cluster, config.separation, config.margin) == (0.8, 0.08, 0.1)
    assert (config.orthogonality, config.l1, config.offset_channels) == (0.1, 1e-2, 128)
    assert model.latents(torch.rand(1, 1, 28, 28)).shape == (1, 129 + 18, 14, 14)


def test_impossible_settings_are_refused_in_one_line():
    with pytest.raises(UserError, match="parts must be at least 2"):
        make(parts=1)
    with pytest.raises(UserError, match="margin must be an angle"):
        make(margin=2.0)
    with pytest.raises(UserError, match=r"6x6 parts do not fit on the map of 7x7 cells.*--upsample"):
        make(parts=6)
