"""Recipe and settings of ProtoTree."""

from __future__ import annotations

import pytest

from methods.prototree.small_models import make
from recipe_lines import recipe_lines
from resemblance.config.errors import UserError
from resemblance.methods.registry import build


def test_depth_follows_the_classes():
    for classes, nodes in ((2, 7), (5, 31), (10, 511), (200, 511)):
        assert make(classes=classes, depth=None).tree.nodes == nodes


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
    # Halved after 60, 70, 80 and 90 of 100 epochs.
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


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_the_recipe_is_the_papers(variant):
    model = make(variant=variant)
    after = [
        "prune: 0 epochs of adam; then prune_tree; measured; not scaled",
        "project: 0 epochs of adam; then project, usage; measured; not scaled",
    ]
    assert recipe_lines(model.recipe()) == [
        "batches of 64, augment none",
        "all: 100 epochs of adamw, encoder 0.001, addon 0.001, prototypes 0.001, "
        "x 0.5 at 0.6000, 0.7000, 0.8000, 0.9000; measured",
        *after,
    ]
    model.config.weights = "trained"
    assert recipe_lines(model.recipe()) == [
        "batches of 64, augment none",
        "frozen: 30 epochs of adamw, addon 0.001, prototypes 0.001, constant; at least 200 steps",
        # Halved after 60, 70, 80 and 90 of 100 epochs: 30/70, 40/70, 50/70 and 60/70 of this stage.
        "all: 70 epochs of adamw, encoder 1e-05, addon 0.001, prototypes 0.001, "
        "x 0.5 at 0.4286, 0.5714, 0.7143, 0.8571; measured",
        *after,
    ]


def test_leaves_with_gradients_train_at_the_prototypes_rate():
    groups = make(leaves="trained").recipe().stages[0].groups
    assert (groups["leaves"].lr, groups["leaves"].weight_decay) == (1e-3, 0)
