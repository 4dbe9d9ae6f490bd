"""Recipe and settings of ProtoTree."""

from __future__ import annotations

import pytest

from methods.prototree.small_models import make
from resemblance.config.errors import UserError
from resemblance.methods.registry import build


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
