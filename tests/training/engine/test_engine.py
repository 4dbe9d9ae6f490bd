"""Training against a simple loop, and the guarantees that users rely on."""

from __future__ import annotations

import csv
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from resemblance.config.errors import UserError
from resemblance.config.training import TrainConfig
from resemblance.core.reference_counts import ReferenceCounts
from resemblance.training.engine.fit import apply_config, fit
from resemblance.training.engine.order import StepBatches, plan
from tiny import Group, Recipe, Schedule, Stage, Tiny, array_source, both, digits, make, same

QUIET = {"accelerator": "cpu", "progress": False}


def train(model, run, splits=None, **options):
    return fit(model, splits or digits(), run, TrainConfig(**QUIET, **options))


def plain_loop(model, stages, splits, batch, seed):
    """Train without the engine: one Adam for all stages, with its learning rates set in the loop."""
    groups = model.parameter_groups()
    names = [name for name in groups if any(name in stage.groups for stage in stages)]
    optimizer = torch.optim.Adam([{"params": groups[name], "name": name} for name in names], lr=0.0)
    images = torch.from_numpy(splits.train.array).permute(0, 3, 1, 2).float() / 255
    labels = torch.from_numpy(splits.train.labels)
    model.train()
    for number, stage in enumerate(stages):
        for parameter in model.parameters():
            parameter.requires_grad_(any(parameter is p for name in stage.groups for p in groups[name]))
        order = plan(len(images), batch)
        for epoch in range(stage.epochs):
            for keys in StepBatches(order, seed, number, partial(int, epoch * order.steps)):
                indices = [index for _, index in keys]
                optimizer.zero_grad()
                sum(model.loss(model(images[indices]), labels[indices]).values()).backward()
                for group in optimizer.param_groups:
                    group["lr"] = stage.groups[group["name"]].lr if group["name"] in stage.groups else 0.0
                optimizer.step()
    return model


def test_two_stages_equal_a_plain_loop(tmp_path):
    stages = (Stage("warm", 2, {"head": Group(1e-2)}), Stage("joint", 3, both(5e-3)))
    model = make(stages=stages, norm=False, dropout=0.0)
    reference = plain_loop(make(stages=stages, norm=False, dropout=0.0), stages, digits(), 64, 3)
    train(model, tmp_path / "run", seed=3)
    for name, tensor in model.state_dict().items():
        assert torch.allclose(tensor, reference.state_dict()[name], atol=1e-6, equal_nan=True), name


def test_a_run_is_a_function_of_its_seed(tmp_path):
    models = [make() for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        train(model, tmp_path / str(id(model)), seed=seed)
    assert same(models[0], models[1])
    assert not same(models[0], models[2])


def test_workers_and_checkpoints_change_nothing(tmp_path):
    models = [make(), make(), make()]
    train(models[0], tmp_path / "a")
    train(models[1], tmp_path / "b", workers=2)
    train(models[2], tmp_path / "c", checkpoint_every_steps=2)
    assert same(models[0], models[1])
    assert same(models[0], models[2])


def test_accumulation_is_one_step_of_the_whole_batch(tmp_path):
    # Without the batch-level term, which sees one micro-batch at a time.
    models = [make(norm=False, dropout=0.0, nearest=0.0) for _ in range(2)]
    train(models[0], tmp_path / "a")
    train(models[1], tmp_path / "b", accumulate=4)
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_frozen_parts_stay_as_they_are(tmp_path):
    model = make(stages=(Stage("head", 2, {"head": Group(1e-2)}),))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    train(model, tmp_path / "run")
    for name, tensor in model.state_dict().items():
        if name.startswith("body"):
            assert torch.equal(tensor, before[name]), name  # the statistics of batch norm, too
    assert not torch.equal(model.last.weight, before["last.weight"])
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not model.training


def test_the_test_images_are_never_touched(tmp_path):
    class Untouchable:
        def __getattr__(self, name):
            raise AssertionError("the test set was used")

        def __len__(self):
            raise AssertionError("the test set was used")

    train(make(), tmp_path / "run", replace(digits(), test=Untouchable()))


def test_the_best_epoch_is_restored(tmp_path):
    stages = (Stage("only", 6, both(0.05), select="best"),)
    model = make(stages=stages)
    result = train(model, tmp_path / "run", seed=2)
    accuracies = [row["val/accuracy"] for row in result.history]
    assert result.validation_accuracy == max(accuracies)


def test_candidates_compete(tmp_path):
    stages = (
        Stage("good", 4, both(0.02), candidate=True),
        Stage("ruin", 1, both(5.0), fresh=True, end=("nudge",), candidate=True),
    )
    model = make(stages=stages)
    result = train(model, tmp_path / "run")
    first, second = [row["val/accuracy"] for row in result.history if row.get("candidate")]
    assert first > second
    assert result.validation_accuracy == first
    assert "nudged" not in model.facts
    assert "chosen on validation: the model after stage 'good'" in result.notes


def test_patience_ends_a_stage(tmp_path):
    stages = (Stage("good", 3, both(0.02)), Stage("ruin", 50, both(2.0), fresh=True))
    model = make(stages=stages)
    result = train(model, tmp_path / "run", patience=2)
    ruin = [row["val/accuracy"] for row in result.history if row["stage"] == "ruin"]
    assert len(ruin) < 50
    assert result.validation_accuracy == max(ruin)


def test_refit_trains_again_on_all_images(tmp_path):
    stages = (Stage("a", 4, both(0.02), select="best", end=("halve",)), Stage("b", 1, {"head": Group(1e-3)}))
    splits = digits()
    model = make(stages=stages, norm=False, dropout=0.0)
    result = train(model, tmp_path / "run", splits, refit_on_all=True)
    first = [row for row in result.history if row["phase"] == "train" and row["stage"] == "a"]
    again = [row for row in result.history if row["phase"] == "refit"]
    best = max(first, key=lambda row: (row["val/accuracy"], -row["val/loss"]))["epoch"]
    assert [row["stage"] for row in again] == ["a"] * best + ["b"]
    assert "val/accuracy" not in again[0]
    assert again[0]["step"] - first[-1]["step"] - 5 == (320 + 100) // 64
    assert len(model.prototypes) == 10


def test_similarities_are_measured_before_the_model_is_trained_on_the_validation_images(tmp_path):
    splits, stages = digits(val=200), (Stage("a", 15, both(0.02)),)
    result = train(model := make(stages=stages), tmp_path / "once", splits)
    assert result.reference is None  # it is measured when the run is finished
    counts = ReferenceCounts(model)
    for start in range(0, 200, 64):
        rows = range(start, min(start + 64, 200))
        images = torch.from_numpy(splits.val.array[rows.start : rows.stop]).permute(0, 3, 1, 2) / 255
        with torch.no_grad():
            counts.add(model(images), torch.from_numpy(splits.val.labels[rows.start : rows.stop]))
    again = train(make(stages=stages), tmp_path / "twice", splits, refit_on_all=True)
    expected, measured = counts.result(before_refit=True), again.reference
    assert measured.before_refit
    assert measured.whole.images == expected.whole.images > 100
    assert measured.whole.values == pytest.approx(expected.whole.values, rel=1e-4)
    assert measured.calibration.probabilities == pytest.approx(expected.calibration.probabilities, rel=1e-4)
    repeated = train(make(stages=stages), tmp_path / "twice", splits, refit_on_all=True, resume=True)
    assert repeated.resumed == "finished"
    assert repeated.reference == measured


def test_a_set_smaller_than_a_batch_still_trains(tmp_path):
    model = make()
    before = model.last.weight.clone()
    result = train(model, tmp_path / "run", digits(train=21))
    assert not torch.equal(before, model.last.weight)
    assert result.history[-1]["step"] == 5


def test_without_validation_images_the_last_epoch_counts(tmp_path):
    splits = digits()
    empty = array_source(splits.val.array[:0], splits.val.labels[:0])
    result = train(make(), tmp_path / "run", replace(splits, val=empty), refit_on_all=True)
    assert result.validation_accuracy is None


def test_stages_without_epochs_only_act(tmp_path):
    model = make(stages=(Stage("convert", 0, {}, end=("nudge", "halve")),))
    result = train(model, tmp_path / "run")
    assert len(model.prototypes) == 10
    assert result.notes == ["10 prototypes left"]
    assert result.history == []


def test_mixed_precision(tmp_path):
    model = make()
    train(model, tmp_path / "run", precision="bf16-mixed")
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    with pytest.raises(UserError, match="bf16-mixed"):
        train(make(), tmp_path / "half", precision="16-mixed")


def test_logs(tmp_path):
    stages = (Stage("a", 2, both(), schedule=Schedule("step", size=1, gamma=0.5)),)
    result = train(make(stages=stages), tmp_path / "run")
    with (tmp_path / "run" / "logs" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["rate/body"]) == pytest.approx(5e-3)
    terms = float(rows[0]["train/cross_entropy"]) + float(rows[0]["train/nearest"])
    assert terms == pytest.approx(float(rows[0]["train/loss"]))
    assert float(rows[1]["val/accuracy"]) == result.validation_accuracy
    assert list((tmp_path / "run" / "logs" / "tensorboard").iterdir())


def test_a_loss_that_is_not_finite_stops_with_one_line(tmp_path):
    model = make()
    with torch.no_grad():
        model.last.bias[3] = np.inf
    with pytest.raises(
        UserError, match=r"infinite or NaN \(cross_entropy, nearest\).*stage 'warm'"
    ) as caught:
        train(model, tmp_path / "run")
    assert "\n" not in str(caught.value)


class Diverging(Tiny):
    """Finite while it trains; NaN or infinite in validation, or in its last weights."""

    where = ""

    def loss(self, output, labels):
        terms = super().loss(output, labels)
        if self.where == "loss" and not self.training:
            terms["nearest"] = terms["nearest"] * torch.inf
        return terms

    def selection_scores(self, output):
        return output.scores * torch.nan if self.where == "score" else output.scores

    def after_step(self):
        if self.where == "weights":
            self.last.bias[3] = torch.nan


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("loss", "the validation loss is infinite or NaN: training has diverged"),
        ("score", "the scores of 100 validation images are infinite or NaN: training has diverged"),
    ],
)
def test_a_validation_that_is_not_finite_stops_with_one_line(tmp_path, where, message):
    model = Diverging(make().config)
    model.where = where
    with pytest.raises(UserError, match=message) as caught:
        train(model, tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_weights_that_the_last_step_has_made_nan_are_refused(tmp_path):
    torch.manual_seed(0)
    stages = (Stage("once", 1, both()),)
    model = Diverging(make().config, Recipe(stages, batch_size=64, augment="none"))
    model.where = "weights"
    with pytest.raises(UserError, match=r"infinite or NaN values in last\.bias"):
        train(model, tmp_path / "run", digits(64, 0))


def test_a_run_is_not_overwritten(tmp_path):
    train(make(), tmp_path / "run")
    kept = (tmp_path / "run" / "checkpoints" / "run.ckpt").read_bytes()
    with pytest.raises(UserError, match="--resume"):
        train(make(), tmp_path / "run")
    assert (tmp_path / "run" / "checkpoints" / "run.ckpt").read_bytes() == kept


def test_a_finished_run_says_so(tmp_path):
    model = make()
    train(model, tmp_path / "run")
    again = make(seed=9)
    result = train(again, tmp_path / "run", resume=True)
    assert result.resumed == "finished"
    assert same(model, again)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed was 0, now 1"),
        ({"batch_size": 32}, "batch_size was 64, now 32"),
        ({"epochs": 10}, "recipe differs"),
        ({"precision": "bf16-mixed"}, "precision was 32-true"),
    ],
)
def test_other_settings_are_not_resumed(tmp_path, change, message):
    train(make(), tmp_path / "run")
    with pytest.raises(UserError, match=message):
        train(make(), tmp_path / "run", resume=True, **change)


def test_other_images_are_not_resumed(tmp_path):
    train(make(), tmp_path / "run")
    splits = digits()
    splits.train.array[0, 0, 0, 0] ^= 1
    with pytest.raises(UserError, match="training images was 320 images"):
        train(make(), tmp_path / "run", splits, resume=True)


def test_a_damaged_checkpoint_is_refused_in_one_line(tmp_path):
    train(make(), tmp_path / "run")
    path = tmp_path / "run" / "checkpoints" / "run.ckpt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"run\.ckpt is damaged, it does not match its checksum"):
        train(make(), tmp_path / "run", resume=True)


def test_apply_config():
    recipe = Recipe((Stage("a", 5, {}), Stage("b", 15, {})), batch_size=80, augment="flip")
    applied = apply_config(recipe, TrainConfig(epochs=4, batch_size=8, augment="none"))
    assert [stage.epochs for stage in applied.stages] == [1, 3]
    assert (applied.batch_size, applied.augment) == (8, "none")
    assert apply_config(recipe, TrainConfig()) == recipe
