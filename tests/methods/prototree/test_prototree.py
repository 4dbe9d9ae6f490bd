"""ProtoTree against the fact sheet's values and a plain re-implementation."""

from __future__ import annotations

import json
import math
from functools import partial

import numpy as np
import pytest
import torch

import models
import resemblance
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.config.training import TrainConfig
from resemblance.core.output import Output
from resemblance.core.training_step import TrainingStep
from resemblance.data import ArraySource
from resemblance.data.sources.source import DataSplits
from resemblance.data.transforms import to_tensor
from resemblance.methods.prototree.presence import distance, log_absence, presence
from resemblance.methods.registry import build
from resemblance.training.ends import actions
from resemblance.training.engine.fit import fit

MOMENT = TrainingStep("all", 0, 1, 0, 0, 2)


make = partial(models.make, "prototree", size=16, encoder="small", depth=3, prototype_depth=8)


def scattered(model):
    """Prototypes near the patches and unequal leaves, so that no probability is near 0 or 1."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        model.counts.copy_(2 * torch.rand(model.counts.shape, generator=generator))
        mean = model.eval().latents(torch.rand(4, *input_shape(model), generator=generator)).mean((0, 2, 3))
        noise = 0.3 * torch.randn(model.prototypes.vectors.shape, generator=generator)
        model.prototypes.vectors.copy_(mean[None, :, None, None] + noise)
    return model


def input_shape(model):
    return (model.spec.image.channels, *model.spec.image.size)


def by_hand(present, leaves, log=False):
    """An output with these presences and a model of the right depth, whose leaves are given."""
    model = make(classes=len(leaves[0]), depth=len(leaves).bit_length() - 1, log_probabilities=log)
    with torch.no_grad():
        model.counts.copy_(torch.tensor(leaves))
    present = torch.tensor(present)
    paths = model.tree.paths(present, 1 - present)
    mixture = paths @ model.counts.softmax(1)
    extras = {"paths": paths, "mixture": mixture, "log_paths": paths.log(), "log_mixture": mixture.log()}
    return model, Output(mixture, present, torch.zeros(len(present), 1), extras)


# Values of the fact sheet.


def test_a_distance_of_ln_2_goes_right_with_one_half():
    assert presence(torch.tensor(math.log(2) ** 2)).item() == pytest.approx(0.5)
    assert log_absence(torch.tensor(math.log(2))).exp().item() == pytest.approx(0.5, abs=1e-6)


def test_the_leaf_step():
    """Depth 1, p = .5, leaves (0, 0) and (ln 3, 0), y = 0, B = 2, c_old equal."""
    model, output = by_hand([[0.5]], [[0.0, 0.0], [math.log(3), 0.0]])
    labels = torch.tensor([0])
    assert output.extras["mixture"][0, 0].item() == pytest.approx(0.625)
    model.before_step(MOMENT)
    model.update_without_grad(output, labels)
    model.after_step()
    assert model.counts[:, 0].tolist() == pytest.approx([0.4, 1.1493], abs=1e-4)
    assert model.counts[:, 1].tolist() == [0, 0]


@pytest.mark.parametrize(("variant", "expected"), [("paper", 0.4), ("released", 1.0873)])
def test_the_released_root_makes_the_update_e_times_too_large(variant, expected):
    model, output = by_hand([[0.5]], [[0.0, 0.0], [math.log(3), 0.0]], log=True)
    model.config.variant = variant
    model.before_step(MOMENT)
    model.update_without_grad(output, torch.tensor([0]))
    model.after_step()
    assert model.counts[0, 0].item() == pytest.approx(expected, abs=1e-4)


def test_sample_max_and_greedy_may_differ():
    model, output = by_hand([[0.6, 0.9, 0.5]], [[0.0, 0.0]] * 4)
    paths = output.extras["paths"]
    assert model._leaf("sample_max", output.similarities, paths).item() == 1
    assert paths[0, 1].item() == pytest.approx(0.36)
    assert model._leaf("greedy", output.similarities, paths).item() == 2


def test_an_epoch_adds_as_much_as_there_are_images():
    model = make()
    images, labels = torch.rand(12, 1, 16, 16), torch.arange(12) % 3
    for step in range(3):
        model.before_step(TrainingStep("all", 0, 1, 0, step, 3))
        part = slice(4 * step, 4 * step + 4)
        model.update_without_grad(model(images[part]), labels[part])
        model.after_step()
    assert model.counts.sum().item() == pytest.approx(12, rel=1e-5)
    assert torch.equal(model.counts_before, torch.zeros_like(model.counts))


# A plain re-implementation.


def plain_answer(model, images):
    """The paper's formulas with loops: presences, path probabilities and class probabilities, in float64."""
    latents = model.latents(images).detach().double()
    vectors, leaves = model.prototypes.vectors.detach().double(), model.counts.detach().double().softmax(1)
    height, width = vectors.shape[2:]
    present, paths = [], []
    for z in latents:
        found = []
        for p in vectors:
            best = math.inf
            for y in range(z.shape[1] - height + 1):
                for x in range(z.shape[2] - width + 1):
                    best = min(best, (z[:, y : y + height, x : x + width] - p).square().sum().sqrt().item())
            found.append(math.exp(-best))
        present.append(found)
        ways = []
        for nodes, turns in zip(model.tree.ancestors.tolist(), model.tree.present.tolist(), strict=True):
            way = 1.0
            for node, right in zip(nodes, turns, strict=True):
                if node >= 0:
                    way *= found[node] if right else 1 - found[node]
            ways.append(way)
        paths.append(ways)
    paths = torch.tensor(paths, dtype=torch.float64)
    return torch.tensor(present), paths, paths @ leaves


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"log_probabilities": True},
        {"prototype_height": 2, "prototype_width": 3},
        {"leaves": "trained"},
    ],
)
def test_the_answer_is_that_of_the_formulas(config):
    model = scattered(make(**config))
    images, labels = torch.rand(3, 1, 16, 16), torch.tensor([0, 2, 1])
    output = model(images)
    present, paths, scores = plain_answer(model, images)
    assert torch.allclose(output.similarities, present, rtol=1e-4)
    assert torch.allclose(output.extras["paths"].double(), paths, rtol=1e-4)
    assert torch.allclose(output.scores.double(), scores, rtol=1e-4)
    expected = -sum(math.log(scores[row, label]) for row, label in enumerate(labels.tolist())) / 3
    assert model.loss(output, labels)["nll"].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("log", [False, True])
def test_the_leaf_update_is_that_of_the_formula(log):
    model = scattered(make(log_probabilities=log))
    images, labels = torch.rand(5, 1, 16, 16), torch.tensor([0, 2, 1, 1, 0])
    before = model.counts.double().clone()
    old = torch.rand(before.shape)
    _, paths, scores = plain_answer(model, images)
    leaves = before.softmax(1)
    expected = torch.zeros_like(before)
    for leaf in range(len(before)):
        for c in range(3):
            sums = sum(paths[x, leaf] * leaves[leaf, c] / scores[x, c] for x in range(5) if labels[x] == c)
            expected[leaf, c] = max(before[leaf, c] - old[leaf, c].double() / 4, 0) + sums
    for batch, micro in ((slice(0, 2), 0), (slice(2, 5), 1)):  # gradients are accumulated
        model.before_step(TrainingStep("all", 0, 1, 0, 1, 4, micro))
        if micro == 0:
            model.counts_before.copy_(old)
        model.update_without_grad(model(images[batch]), labels[batch])
    model.after_step()
    assert torch.allclose(model.counts.double(), expected, rtol=1e-4, atol=1e-6)


def test_log_probabilities_answer_the_same():
    model, log = scattered(make()), scattered(make(log_probabilities=True))
    images, labels = torch.rand(3, 1, 16, 16), torch.tensor([0, 2, 1])
    one, other = model(images), log(images)
    assert torch.allclose(one.scores, other.scores, atol=1e-6)
    assert model.loss(one, labels)["nll"].item() == pytest.approx(
        log.loss(other, labels)["nll"].item(), rel=1e-5
    )


def test_hopeless_images_leave_loss_and_gradients_finite():
    """Leaves so sure that the softmax is exactly 0 for the other classes, and a prototype met exactly."""
    for log in (False, True):
        model = make(log_probabilities=log).train()
        images = torch.rand(2, 1, 16, 16)
        with torch.no_grad():
            model.counts[:, 0] = 1e4
            model.prototypes.vectors.copy_(model.latents(images)[:1, :, :1, :1])
        output = model(images)
        loss = model.loss(output, torch.tensor([1, 2]))["nll"]
        loss.backward()
        assert loss.isfinite()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
        model.before_step(MOMENT)
        with torch.no_grad():
            model.update_without_grad(output, torch.tensor([1, 2]))
        assert model._update.isfinite().all()


def test_the_gradient_of_a_distance_is_bounded():
    squared = torch.zeros(1, requires_grad=True)
    difference = torch.tensor([1e-5], requires_grad=True)
    distance(difference.square() + squared).sum().backward()
    assert difference.grad.item() == pytest.approx(1.0, abs=1e-2)


# Leaves, owners, pruning.


def test_owners_are_the_classes_of_the_leaves_below():
    model = make(depth=2)
    model.counts.copy_(torch.tensor([[3.0, 0, 0], [0, 2, 0], [1, 0, 0], [9, 0, 0]]))
    model.assign_owners()
    assert model.prototypes.owners.tolist() == [
        [True, True, False],
        [True, True, False],
        [True, False, False],
    ]


@pytest.mark.parametrize(
    ("variant", "nodes", "leaves"), [("paper", [5, 6], 3), ("released", [0, 1, 5, 3, 4, 6], 7)]
)
def test_pruning_cuts_what_tells_nothing(variant, nodes, leaves):
    """Left of the root nothing is known; right of it one of two leaves of a node."""
    model = scattered(make(variant=variant))
    model.counts.zero_()
    model.counts[5, 1] = model.counts[6, 0] = model.counts[7, 2] = 5
    images = torch.rand(2, 1, 16, 16)
    before = model(images)
    kept = model.prune(0.4)
    model.assign_owners()
    if variant == "paper":  # node 2 has lost a child's child: 5 lacks leaf 4, so that leaf 5 takes its place
        assert kept.tolist() == [2, 6]
        assert model.tree.ancestors.tolist() == [[0, -1], [0, 1], [0, 1]]
        p = before.similarities[:, kept]
        expected = torch.stack([1 - p[:, 0], p[:, 0] * (1 - p[:, 1]), p[:, 0] * p[:, 1]], dim=1)
        assert torch.allclose(model(images).extras["paths"], expected, atol=1e-6)
        assert model.counts.argmax(1).tolist() == [1, 0, 2]
        assert model.prototypes.owners.tolist() == [[True, True, True], [True, False, True]]
    else:  # the left child of the root stays although it tells nothing
        assert kept.tolist() == [0, 1, 2, 3, 4, 6]
        assert model.tree.leaves == 7


def test_a_tree_that_knows_nothing_is_not_pruned():
    model = make()
    assert model.prune(model.config.threshold(3)).tolist() == list(range(7))


def test_the_threshold_is_above_chance():
    model = make(classes=100)
    assert model.config.threshold(100) == pytest.approx(0.0105)
    assert model.config.threshold(200) == 0.01
    assert model.config.threshold(2) == pytest.approx(0.525)
    assert make(prune_threshold=0.3).config.threshold(10) == 0.3


def test_other_methods_have_no_tree_to_prune():
    image = ImageSpec(16, 16, 1, (0.5,), (0.25,))
    model = build("protopnet", {"encoder": "small"}, ModelSpec(("a", "b"), image))
    with pytest.raises(UserError, match="no tree"):
        actions.run("prune_tree", model, actions.ActionContext(train=source()))


def source(count=48, seed=0, classes=3):
    """Noise with a bright row that tells the class; class 1 is missing where there are four classes."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    labels[labels == 1] = 1 if classes == 3 else 3
    pixels = generator.integers(0, 60, (count, 16, 16, 1), dtype=np.uint8)
    pixels[np.arange(count), 4 * labels + 2] += 180
    return ArraySource(pixels, labels, tuple(f"class {c}" for c in range(classes)))


def test_projection_keeps_to_the_classes_below_and_reports_the_others():
    model = scattered(make(classes=4, depth=2)).eval()
    model.counts.zero_()
    model.counts[0, 1] = model.counts[1, 1] = model.counts[2, 0] = model.counts[3, 2] = 5
    model.assign_owners()
    before = model.prototypes.vectors.clone()
    images = source(classes=4)
    context = actions.ActionContext(train=images, batch_size=16)
    for name in ("project", "usage"):
        actions.run(name, model, context)
    assert torch.equal(model.prototypes.vectors[1], before[1])  # below node 1 there is only class 1
    assert model.prototypes.source_index[1] == -1
    assert any("keep their vectors: no training image of class 1" in note for note in context.notes)
    for node, allowed in ((0, {0, 2}), (2, {0, 2})):
        assert images.labels[model.prototypes.source_index[node]] in allowed
        output = model(images_of(images, [int(model.prototypes.source_index[node])]))
        assert output.similarities[0, node].item() == pytest.approx(1.0, abs=1e-5)


def images_of(images, indices):
    spec = ImageSpec(16, 16, 1, (0.5,), (0.25,))
    return torch.stack([to_tensor(images.read(index), spec) for index in indices])


def test_a_prototype_is_used_where_it_is_found_on_the_most_probable_path():
    model, output = by_hand([[0.6, 0.9, 0.5], [0.9, 0.1, 0.8], [0.1, 0.2, 0.9]], [[0.0, 0.0]] * 4)
    assert model.uses(output).tolist() == [
        [False, True, False],  # left, then right at node 1
        [True, False, True],
        [False, False, False],
    ]


# Answering with one leaf.


@pytest.mark.parametrize("inference", ["sample_max", "greedy"])
def test_one_leaf_answers_and_is_the_one_reason(inference):
    model = scattered(make(inference=inference))
    images = torch.rand(4, 1, 16, 16)
    output = model(images)
    distributed = scattered(make())(images)
    leaf = model._leaf(inference, distributed.similarities, distributed.extras["paths"])
    assert torch.allclose(output.scores, model.counts.softmax(1)[leaf])
    labels = torch.arange(4) % 3
    assert torch.equal(model.loss(output, labels)["nll"], scattered(make()).loss(distributed, labels)["nll"])
    explanation = model.explain(images[0])
    assert len(explanation.reasons) == 1
    assert explanation.share == 1
    assert "alone answers" in str(explanation)
    evidence = model.evidence(output, output.scores.argmax(1))
    assert ((evidence.contributions != 0).sum(1) == 1).all()
    assert torch.allclose(model.train()(images).scores, model.train()(images).extras["mixture"])


def test_fidelity_is_agreement_with_the_answer():
    model = scattered(make(depth=4))
    images, labels = torch.rand(16, 1, 16, 16), torch.arange(16) % 3
    output = model(images)
    found = model.also_measured(output, labels)
    assert list(found) == ["sample_max accuracy", "sample_max fidelity", "greedy accuracy", "greedy fidelity"]
    greedy = scattered(make(depth=4, inference="greedy"))(images).scores.argmax(1)
    assert torch.equal(found["greedy fidelity"], greedy == output.scores.argmax(1))
    assert torch.equal(found["greedy accuracy"], greedy == labels)
    other = scattered(make(depth=4, inference="greedy"))
    found = other.also_measured(other(images), labels)
    assert torch.equal(found["distributed fidelity"], greedy == output.scores.argmax(1))


# Explanations.


def test_a_reason_is_a_path():
    model = scattered(make())
    image = torch.rand(1, 16, 16)
    explanation = model.explain(image, top=None, label=1)
    output = model(image[None])
    weights = model.counts.softmax(1)[:, explanation.prediction]
    assert explanation.account.adds_up
    paths = dict(zip(map(str, _ways(model)), range(8), strict=True))
    for reason in explanation.reasons:
        leaf = paths[str([(step.prototype.index, step.present) for step in reason.steps])]
        assert reason.similarity == pytest.approx(output.extras["paths"][0, leaf].item())
        assert reason.weight == pytest.approx(weights[leaf].item())
        assert reason.contribution == pytest.approx(reason.similarity * reason.weight, rel=1e-5)
        assert math.prod(step.probability for step in reason.steps) == pytest.approx(
            reason.similarity, rel=1e-4
        )
        assert reason.prototype.index == reason.steps[-1].prototype.index
        assert all(step.heat.shape == (16, 16) for step in reason.steps)
    record = json.loads(json.dumps(explanation.to_dict()))
    first = record["explanations"][0]["reasons"][0]
    assert [step["present"] for step in first["steps"]] == [
        step.present for step in explanation.reasons[0].steps
    ]
    text = str(explanation)
    assert "path 1: " in text
    assert "has part" in text
    assert "lacks part" in text
    html = explanation._repr_html_()
    assert "has this part" in html
    assert "lacks this part" in html
    assert explanation.plot().get_size_inches()[0] > 7


def _ways(model):
    for nodes, turns in zip(model.tree.ancestors.tolist(), model.tree.present.tolist(), strict=True):
        yield [(node, turn) for node, turn in zip(nodes, turns, strict=True) if node >= 0]


def test_chosen_prototypes_choose_the_paths_that_pass_them():
    model = scattered(make())
    explanation = model.explain(torch.rand(1, 16, 16), prototypes=[2], top=3)
    assert len(explanation.reasons) == 3
    assert all(2 in [step.prototype.index for step in reason.steps] for reason in explanation.reasons)


def test_paths_that_carry_next_to_nothing_are_counted_with_the_others():
    model, output = by_hand([[0.5, 0.5, 1e-4]], [[5.0, 0.0]] * 4)
    from resemblance.explain.selection import select

    shown = select(model, output, torch.tensor([0]), None, None).shown[0]
    assert sorted(shown.tolist()) == [0, 1, 2]


@torch.no_grad()
def test_a_leaf_at_the_threshold_tells_nothing():
    model = make(classes=4, depth=2)
    model.counts.zero_()
    model.counts[0, 1] = model.counts[3, 2] = 5  # the other two leaves have 0.25 of each class, exactly
    model.prune(0.25)
    assert model.tree.nodes == 1
    assert model.counts.argmax(dim=1).tolist() == [1, 2]


# Configuration and recipe.


def test_depth_follows_the_classes():
    for classes, nodes in ((2, 7), (5, 31), (10, 511), (200, 511)):
        assert make(classes=classes, depth=None).tree.nodes == nodes


def test_the_schedule_is_the_papers():
    scratch = make().recipe()
    assert [stage.name for stage in scratch.stages] == ["all", "prune", "project"]
    assert scratch.stages[0].groups["encoder"].lr == 1e-3
    assert scratch.stages[0].epochs == 100
    assert scratch.stages[0].schedule.milestones == pytest.approx((0.6, 0.7, 0.8, 0.9))
    assert [stage.end for stage in scratch.stages] == [(), ("prune_tree",), ("project", "usage")]
    assert scratch.batch_size == 64


def test_a_trained_encoder_is_frozen_first(tmp_path):
    black_box = build("blackbox", {"encoder": "small"}, make().spec)
    black_box.save(tmp_path / "blackbox")
    weights = str(tmp_path / "blackbox" / "model.safetensors")
    model = make(weights=weights, free_layer="layers.12")
    frozen, joint = model.recipe().stages[:2]
    assert (frozen.epochs, joint.epochs) == (30, 70)
    assert frozen.groups.keys() == {"free", "addon", "prototypes"}
    assert joint.groups["encoder"].lr == 1e-5
    assert {group.lr for name, group in joint.groups.items() if name != "encoder"} == {1e-3}
    # Halved when 60, 70, 80 and 90 of 100 epochs are over.
    assert joint.schedule.milestones == pytest.approx((30 / 70, 40 / 70, 50 / 70, 60 / 70))
    assert [tuple(p.shape) for p in model.parameter_groups()["free"]] == [(128, 64, 3, 3)]


def test_impossible_settings_are_refused():
    with pytest.raises(UserError, match="depth must be"):
        make(depth=0)
    with pytest.raises(UserError, match="at least 1"):
        make(prototype_depth=0)
    with pytest.raises(UserError, match="prune-threshold"):
        make(prune_threshold=1.5)
    with pytest.raises(UserError, match="free-layer"):
        make(free_layer="layer4.1")
    with pytest.raises(UserError, match="4x4"):
        make(size=8)


# Training.


def splits(train=96):
    return DataSplits(source(train), source(24, 1), None, source(3).classes, "rows")


def settings(**options):
    return TrainConfig(**{"accelerator": "cpu", "progress": False, "epochs": 3, "batch_size": 16, **options})


def test_training_prunes_and_projects(tmp_path):
    model = make(depth=6, prune_threshold=0.4)
    result = fit(model, splits(), tmp_path / "run", settings(epochs=6))
    notes = "\n".join(result.notes)
    for stage in ("all", "prune", "project"):
        assert f"validation accuracy after stage '{stage}'" in notes
    assert model.tree.nodes == len(model.prototypes) < 63
    assert (model.prototypes.source_index >= 0).any()


@pytest.mark.slow
def test_kmex_converts_its_encoder(tmp_path):
    model = make()
    data = splits()
    fit(model, data, tmp_path / "run", settings(epochs=6))
    model.save(tmp_path / "model")
    run = resemblance.convert(
        tmp_path / "model", data, tmp_path / "kmex", prototypes_per_class=2, accelerator="cpu"
    )
    assert run.model(torch.rand(2, 1, 16, 16)).scores.shape == (2, 3)
