"""Owners, pruning and projection of a tree."""

from __future__ import annotations

import pytest
import torch

import resemblance
from methods.prototree.small_models import by_hand, make, scattered, source
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.config.training import TrainConfig
from resemblance.data.sources.source import DataSplits
from resemblance.data.transforms import to_tensor
from resemblance.methods.prototree.pruning import prune_tree
from resemblance.methods.registry import build
from resemblance.training.ends import actions
from resemblance.training.engine.fit import fit


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
def test_pruning_cuts_uninformative_subtrees(variant, nodes, leaves):
    """To the left of the root all leaves are uninformative; to the right one of the two leaves of a node is."""
    model = scattered(make(variant=variant))
    model.counts.zero_()
    model.counts[5, 1] = model.counts[6, 0] = model.counts[7, 2] = 5
    images = torch.rand(2, 1, 16, 16)
    before = model(images)
    kept = model.prune(0.4)
    model.assign_owners()
    if variant == "paper":  # node 5 has lost leaf 4, so that leaf 5 replaces it
        assert kept.tolist() == [2, 6]
        assert model.tree.ancestors.tolist() == [[0, -1], [0, 1], [0, 1]]
        p = before.similarities[:, kept]
        expected = torch.stack([1 - p[:, 0], p[:, 0] * (1 - p[:, 1]), p[:, 0] * p[:, 1]], dim=1)
        assert torch.allclose(model(images).extras["paths"], expected, atol=1e-6)
        assert model.counts.argmax(1).tolist() == [1, 0, 2]
        assert model.prototypes.owners.tolist() == [[True, True, True], [True, False, True]]
    else:  # the left child of the root is kept although it is uninformative
        assert kept.tolist() == [0, 1, 2, 3, 4, 6]
        assert model.tree.leaves == 7


def test_a_tree_of_uninformative_leaves_is_not_pruned():
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
        prune_tree(model, actions.ActionContext(train=source()))


def test_projection_uses_the_classes_below_and_reports_missing_ones():
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


def test_a_prototype_is_used_if_it_is_present_on_the_most_probable_path():
    model, output = by_hand([[0.6, 0.9, 0.5], [0.9, 0.1, 0.8], [0.1, 0.2, 0.9]], [[0.0, 0.0]] * 4)
    assert model.used_prototypes(output).tolist() == [
        [False, True, False],  # left, then right at node 1
        [True, False, True],
        [False, False, False],
    ]


@torch.no_grad()
def test_a_leaf_at_the_threshold_is_uninformative():
    model = make(classes=4, depth=2)
    model.counts.zero_()
    model.counts[0, 1] = model.counts[3, 2] = 5  # the other two leaves have 0.25 of each class, exactly
    model.prune(0.25)
    assert model.tree.nodes == 1
    assert model.counts.argmax(dim=1).tolist() == [1, 2]


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
