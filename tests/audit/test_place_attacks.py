"""Test the attacks on places, and the checks that use them, over all methods with places."""

from __future__ import annotations

import json
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from cases import METHODS, VARIANTS
from models import batch, make
from resemblance.audit.audit_runner import run_checks
from resemblance.audit.audited import AuditSettings, AuditSubject
from resemblance.audit.places.cell_regions import cell_pixels
from resemblance.audit.places.moved_prototype import move_prototype, similarity_map
from resemblance.audit.places.place_aims import Aim, Aims, pair_maps
from resemblance.audit.places.place_attacks import Strength, hide_place, move_place
from resemblance.audit.places.strongest_prototypes import strongest
from resemblance.config.errors import UserError
from resemblance.core.prototype_model import prototypes_of
from resemblance.data import ArraySource
from resemblance.data.inputs import as_tensor
from resemblance.encoders.probe import evaluating, without_gradients
from resemblance.methods.ensemble.model import make_ensemble
from resemblance.prototypes.maps import percentile_boxes, upsample
from resemblance.prototypes.similarity import log_similarity
from resemblance.training.attacks.noise import ImageNoise

PARTS = {
    name: settings
    for name, settings in VARIANTS.items()
    if getattr(prototypes_of(make(settings[0], **settings[1])), "has_maps", False)
}
EPS = 8 / 255
NAMES = ("head-on-stomach", "head-disappears")


def protopnet(**settings):
    return make("protopnet", encoder="small", prototypes_per_class=4, prototype_depth=8, **settings).eval()


def aims_of(model, images, which, variant="paper"):
    with torch.no_grad():
        maps = pair_maps(model, model.latents(images), torch.arange(len(which)), which)
    return Aims([Aim.away(own, model.spec.image.size, variant) for own in maps], len(which))


def pairs_with_room(model, count):
    """Return images and prototypes whose place leaves room for another one."""
    images, which = batch(model, 6)[0].repeat(12, 1, 1, 1), torch.arange(12).repeat_interleave(6)
    with torch.no_grad():
        maps = pair_maps(model, model.latents(images), torch.arange(72), which)
    usable = aims_of(model, images, which).usable(maps)
    assert len(usable) >= count
    chosen = usable[torch.linspace(0, len(usable) - 1, count).long()]
    return images[chosen], which[chosen]


def subject_of(model, images=6, **settings):
    spec = model.spec.image
    pixels = np.random.default_rng(0).integers(0, 256, (images, spec.height, spec.width, 1), dtype=np.uint8)
    batched = torch.stack([as_tensor(one, spec).tensor for one in pixels])
    with torch.no_grad():
        labels = model.eval()(batched).scores.argmax(dim=1).numpy()
    source = ArraySource(pixels, labels, model.spec.classes)
    return AuditSubject("run", model, source, settings=AuditSettings(**{"steps": 2, **settings}))


@contextmanager
def counted(model):
    """Count the images that pass the encoder with and without gradient."""
    calls = {"plain": 0, "gradient": 0}
    latents = model.latents

    def counting(images):
        calls["gradient" if images.requires_grad else "plain"] += len(images)
        return latents(images)

    model.latents = counting
    yield calls
    del model.latents


def test_every_method_with_places_is_tested():
    assert {method for method, _ in PARTS.values()} >= {
        "protopnet", "tesnet", "protopool", "deformable", "pipnet", "prototree", "kmex"
    }  # fmt: skip
    assert {method for method, _ in VARIANTS.values()} == set(METHODS)


def test_an_attack_against_a_plain_implementation():
    """One image, one prototype, written as the paper has it; of all steps the best one."""
    model = protopnet()
    images, which = pairs_with_room(model, 1)
    image, vector, steps, step = images[0], model.prototypes.vectors[which[0]].detach(), 6, 2 / 255

    def similarity(x):
        latents = model.latents(x[None])[0]
        return log_similarity((latents - vector).square().sum(dim=0))

    with torch.no_grad():
        clean = similarity(image)
    side, count = 28, clean.shape[0]
    x0, y0, x1, y1 = percentile_boxes(upsample(clean[None], (side, side)))[0].tolist()
    cell = side // count
    place = torch.zeros(count, count, dtype=torch.bool)
    place[y0 // cell : y1 // cell + 1, x0 // cell : x1 // cell + 1] = True
    mask = (~place).repeat_interleave(cell, dim=0).repeat_interleave(cell, dim=1)

    def objective(x):
        found = similarity(x)
        return found[~place].mean() - found[place].mean()

    current = (image + ImageNoise(0, [7]).uniform(images, EPS)[0] * mask).clamp(0, 1)
    tried = [(objective(image), image)]
    for _number in range(steps + 1):
        current = current.detach().requires_grad_(True)
        value = objective(current)
        tried.append((value.detach(), current.detach()))
        (gradient,) = torch.autograd.grad(value, current)
        moved = current.detach() + step * gradient.sign()
        current = (image + (moved - image).clamp(-EPS, EPS) * mask).clamp(0, 1)
    best = max(tried, key=lambda pair: float(pair[0].detach()))[1]
    ours = move_place(model, images, which, aims_of(model, images, which), Strength(steps=steps), [7])
    assert torch.allclose(ours.images[0], best, atol=1e-6)


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("variant", ["paper", "released"])
def test_an_attack_stays_within_ball_range_and_mask(name, variant):
    method, settings = PARTS[name]
    model = make(method, **settings).eval()
    images = batch(model, 3)[0]
    images[0] = 1.0
    with torch.no_grad():
        output = model(images)
    which = strongest(model, output, output.scores.argmax(dim=1), 1, variant)[:, 0].clamp_min(0)
    aims = aims_of(model, images, which, variant)
    with evaluating(model), without_gradients(model):
        attacked = move_place(model, images, which, aims, Strength(steps=3)).images
    change = (attacked - images).abs()
    assert change.max() <= EPS + 1e-6
    assert attacked.min() >= 0
    assert attacked.max() <= 1
    assert not change[~aims.mask((28, 28)).expand_as(change)].any()
    if variant == "paper":
        for aim in aims:
            assert torch.equal(aim.target, ~aim.place)
            assert torch.equal(aims.mask((28, 28)), cell_pixels(~aim.place, (28, 28)))


@pytest.mark.parametrize("attack", ["move", "hide"])
def test_pairs_do_not_depend_on_their_batch(attack):
    model = protopnet()
    images, which = pairs_with_room(model, 4)
    indices = torch.tensor([3, 8, 5, 6])

    def run(rows):
        aims = aims_of(model, images[rows], which[rows])
        if attack == "move":
            return move_place(model, images[rows], which[rows], aims, Strength(steps=3), indices[rows]).images
        mask = aims.mask((28, 28))
        return hide_place(model, images[rows], which[rows], mask, Strength(steps=3), indices[rows]).images

    together = run(torch.arange(4))
    for row in range(4):
        assert torch.allclose(run(torch.tensor([row]))[0], together[row], atol=2e-3)
        assert (run(torch.tensor([row]))[0] != together[row]).float().mean() < 0.02  # signs of tiny gradients


def test_a_step_takes_one_forward_and_one_backward_pass():
    model = protopnet()
    images, which = batch(model, 4)[0], torch.tensor([0, 3, 3, 7])
    aims = aims_of(model, images, which)
    with counted(model) as calls:
        move_place(model, images, which, aims, Strength(steps=5))
    assert calls == {"plain": 2 * 4, "gradient": 5 * 4}


def test_only_the_maps_of_attacked_prototypes_are_computed(monkeypatch):
    model = protopnet()
    images, which = batch(model, 2)[0], torch.tensor([5, 9])
    aims, layer, asked = aims_of(model, images, which), model.prototypes, []
    maps = layer.maps
    monkeypatch.setattr(
        layer, "maps", lambda z, chosen=None: asked.append(chosen.tolist()) or maps(z, chosen)
    )
    move_place(model, images, which, aims, Strength(steps=2))
    assert asked == [[5, 9]] * 4


def test_the_objective_rises_and_the_similarity_falls():
    model = protopnet()
    images, which = pairs_with_room(model, 4)
    aims = aims_of(model, images, which)
    moved = move_place(model, images, which, aims, Strength(steps=5))
    assert (moved.after > moved.before).all()
    assert not moved.blind.any()
    everywhere = torch.ones(4, 1, 28, 28, dtype=torch.bool)
    hidden = hide_place(model, images, which, everywhere, Strength(steps=5))
    with torch.no_grad():
        before, after = model(images).similarities, model(hidden.images).similarities
    rows = torch.arange(4)
    assert torch.allclose(-hidden.after, after[rows, which], atol=1e-5)
    assert (after[rows, which] < before[rows, which]).all()


def test_the_strongest_prototypes_are_those_of_the_class_that_contribute_most():
    model = protopnet()
    images = batch(model, 5)[0]
    with torch.no_grad():
        output = model(images)
        classes = output.scores.argmax(dim=1)
        evidence = model.evidence(output, classes)
    ranked = strongest(model, output, classes, 3)
    for row in range(5):
        own = model.prototypes.owners[:, classes[row]].nonzero().flatten().tolist()
        expected = sorted(own, key=lambda p: -float(evidence.contributions[row, p]))[:3]
        assert ranked[row].tolist() == expected
    by_similarity = strongest(model, output, classes, 3, "released")
    assert torch.equal(by_similarity, output.similarities.topk(3, dim=1).indices)


def test_prototypes_that_contribute_nothing_are_not_attacked():
    model = protopnet()
    with torch.no_grad():
        model.last.weight.zero_() if hasattr(model, "last") else model.last_layer.weight.zero_()
        output = model(batch(model, 2)[0])
    assert (strongest(model, output, torch.tensor([0, 1]), 3) == -1).all()


@pytest.mark.parametrize("name", PARTS)
def test_the_checks_of_every_method_with_places(name):
    method, settings = PARTS[name]
    model = make(method, **settings)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.zero_grad()
    found = run_checks(subject_of(model, batch_size=4), NAMES)
    if not model.traits.differentiable:
        assert [(one.measure, "no gradient" in one.reason) for one in found.left_out] == [
            (check, True) for check in NAMES
        ]
        return
    assert [one.check for one in found.findings] == list(NAMES)
    for finding in found.findings:
        main = finding.values[0]
        assert main.name == finding.check.replace("-", "_")
        any_prediction = finding.value(main.name + "_any")
        if main.defined:
            assert 0 <= main.value <= any_prediction.value <= 1
            assert (main.count or 0) + sum(main.left_out.values()) == 6
        assert json.dumps(finding.to_dict())
        assert all(example.png.startswith(b"\x89PNG") for example in finding.examples)
    assert all(
        torch.equal(value.nan_to_num(), before[key].nan_to_num()) for key, value in model.state_dict().items()
    )
    assert all(parameter.grad is None for parameter in model.parameters())


def test_an_ensemble_whose_members_have_maps_of_different_sizes_or_none():
    members = [
        make("protopnet", encoder="small", prototypes_per_class=2, prototype_depth=8),
        make(
            "protopnet",
            encoder="small",
            prototypes_per_class=2,
            prototype_height=2,
            prototype_width=2,
            seed=1,
        ),
        make("prototypedl", seed=2),
    ]
    model = make_ensemble([member.eval() for member in members]).eval()
    images = batch(model, 4)[0]
    with torch.no_grad():
        output = model(images)
    ranked = strongest(model, output, output.scores.argmax(dim=1), 5)
    assert ranked.max() < 12  # prototypes that compare whole images have no place
    which = torch.tensor([0, 6, 7, 1])  # of two members, so of two sizes
    aims = aims_of(model, images, which)
    assert len({aim.place.shape[1:] for aim in aims}) == 2
    together = move_place(model, images, which, aims, Strength(steps=2))
    for row in range(4):
        single = aims_of(model, images[row : row + 1], which[row : row + 1])
        alone = move_place(
            model, images[row : row + 1], which[row : row + 1], single, Strength(steps=2), [row]
        )
        assert (alone.images[0] != together.images[row]).float().mean() < 0.02
    assert len(run_checks(subject_of(model), NAMES).findings) == 2


@pytest.mark.parametrize("method", ["blackbox", "prototypedl"])
def test_methods_without_places_are_left_out(method):
    model = make(method, **({"encoder": "small"} if method == "blackbox" else {})).eval()
    result = run_checks(subject_of(model), NAMES)
    assert not result.findings
    assert len(result.left_out) == 2


def test_an_image_stops_at_its_first_success_and_numbers_add_up():
    subject = subject_of(protopnet(), images=10, batch_size=4, steps=12, top=3)
    with counted(subject.model) as calls:
        finding = run_checks(subject, ["head-on-stomach"]).findings[0]
    held = round(finding.values[0].value * finding.values[0].count)
    assert sum(finding.details["successes_by_rank"]) == held
    assert calls["gradient"] == 12 * finding.details["attacks"]
    assert finding.details["attacks"] <= 3 * 10
    assert held > 0  # an untrained model does not resist
    assert len(finding.examples) == min(4, held)


def test_parts_do_not_depend_on_the_size_of_the_batches():
    model = protopnet()
    small, large = (
        run_checks(subject_of(model, images=7, batch_size=size, steps=4), NAMES).findings for size in (2, 7)
    )
    for one, other in zip(small, large, strict=True):
        for value, same in zip(one.values, other.values, strict=True):
            assert value.value == pytest.approx(same.value, abs=0.01, nan_ok=True)


def test_without_strength_nothing_moves():
    for finding in run_checks(subject_of(protopnet(), eps=0.0), NAMES).findings:
        assert finding.values[0].value == 0
        assert finding.verdict == "passed"


def test_a_prototype_moves_to_a_region():
    model = protopnet()
    image = batch(model, 1)[0][0]
    cells = similarity_map(model, image, 2)
    best = np.unravel_index(cells.argmax(), cells.shape)
    region = [cell for cell in np.ndindex(*cells.shape) if max(abs(np.subtract(cell, best))) > 1]
    model.train()
    result = move_prototype(model, image, 2, region, eps=0.5, step=0.05)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert result.moved
    assert np.unravel_index(result.after.argmax(), cells.shape) in region
    assert result.similarity == (pytest.approx(cells.max()), pytest.approx(result.after.max()))
    changed = torch.zeros(cells.shape, dtype=torch.bool)
    for y, x in (result.changed != result.image).any(dim=0).nonzero().tolist():
        changed[y * cells.shape[0] // 28, x * cells.shape[1] // 28] = True
    assert not changed[~torch.from_numpy(result.region)].any()
    assert result.to_dict()["moved"]
    assert json.dumps(result.to_dict())
    assert result.plot().axes


def test_a_box_stands_for_the_cells_that_it_touches():
    model = protopnet()
    image = batch(model, 1)[0][0]
    cells = similarity_map(model, image, 2)
    row, column = (int(place) for place in np.unravel_index(cells.argmin(), cells.shape))
    side = 28 // cells.shape[0]
    box = (column * side + 1, row * side, (column + 1) * side, (row + 1) * side - 1)
    assert np.argwhere(move_prototype(model, image, 2, box, steps=1).region).tolist() == [[row, column]]


@pytest.mark.parametrize(
    ("prototype", "region", "message"),
    [
        (99, [(0, 0)], "no prototype 99"),
        (0, [(0, 70)], "leaves the map"),
        (0, [], "list of"),
        (0, (5, 5, 2, 9), "not in the image"),
        (0, "best", "already"),
    ],
)
def test_regions_that_make_no_sense(prototype, region, message):
    model = protopnet()
    image = batch(model, 1)[0][0]
    if region == "best":
        cells = similarity_map(model, image, prototype)
        row, column = np.unravel_index(cells.argmax(), cells.shape)
        region = [(int(row), int(column))]
    with pytest.raises(UserError, match=message):
        move_prototype(model, image, prototype, region)


def test_a_method_without_places_cannot_move():
    model = make("prototypedl")
    with pytest.raises(UserError, match="compares whole images"):
        move_prototype(model, batch(model, 1)[0][0], 0, [(0, 0)])
