"""Class weights and balanced sampling: what they are, that a resumed run repeats them, and that rare classes gain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cases import CASES, SPEC, made
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.config.training import TrainConfig
from resemblance.core.class_weights import balanced_weights, weighted_cross_entropy
from resemblance.core.training_step import TrainingStep
from resemblance.data.batch import Batch
from resemblance.data.sources.source import ArraySource, DataSplits
from resemblance.methods.blackbox.linear_probe import fit_probe
from resemblance.methods.registry import build
from resemblance.training.engine.fit import check_fit, fit
from resemblance.training.engine.order import StepBatches, balanced_order, plan
from resemblance.training.engine.validation import validate
from stopping import Stop, stopping
from tiny import digits, make, same

TRAINED = sorted(CASES)


def digit_tensors(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Digits at the size of the cases' models, and their labels."""
    source = digits(count, 10).train
    images = torch.from_numpy(source.array).permute(0, 3, 1, 2).float() / 255
    return F.interpolate(images, SPEC.image.size), torch.from_numpy(source.labels)


def overlapping(count: int, share: float, seed: int) -> ArraySource:
    """Two classes of noisy grey levels that overlap; the second one is rare."""
    generator = np.random.default_rng(seed)
    labels = (np.arange(count) < share * count).astype(np.int64)
    levels = np.where(labels == 1, 150, 80)[:, None, None, None]
    pixels = np.clip(
        levels + generator.normal(0, 45, (count, 1, 1, 1)) + generator.normal(0, 8, (count, 16, 16, 1)),
        0,
        255,
    )
    return ArraySource(pixels.astype(np.uint8), labels, ("often", "rarely"))


def recall(folder: Path, method: str, settings: dict[str, object], **options: object) -> float:
    """The share of images of the rare class that a trained model finds."""
    spec = ModelSpec(("often", "rarely"), ImageSpec(16, 16, 1, (0.45,), (0.2,)))
    torch.manual_seed(0)
    model = build(method, settings, spec)
    splits = DataSplits(overlapping(320, 0.06, 0), overlapping(160, 0.06, 1), None, spec.classes, "levels")
    fit(
        model,
        splits,
        folder,
        TrainConfig(epochs=8, batch_size=16, accelerator="cpu", progress=False, **options),
    )
    assert model.class_weights is None
    test = overlapping(400, 0.5, 2)
    with torch.no_grad():
        scores = model(torch.from_numpy(test.array).permute(0, 3, 1, 2).float() / 255).scores
    return float((scores.argmax(dim=1).numpy()[test.labels == 1] == 1).mean())


def test_images_of_the_rare_class_are_found_more_often(tmp_path: Path) -> None:
    plain = recall(tmp_path / "plain", "blackbox", {"encoder": "small"})
    for name, options in (("weights", {"class_weights": "balanced"}), ("draw", {"balanced_sampling": True})):
        assert recall(tmp_path / name, "blackbox", {"encoder": "small"}, **options) > plain + 0.25, name


@pytest.mark.slow
def test_a_method_of_prototypes_finds_the_rare_class_more_often(tmp_path: Path) -> None:
    settings = {"encoder": "small", "prototypes_per_class": 2, "prototype_depth": 8}
    plain = recall(tmp_path / "plain", "protopnet", settings)
    assert recall(tmp_path / "weights", "protopnet", settings, class_weights="balanced") > plain + 0.2


def test_a_weighted_loss_is_the_mean_over_images_drawn_by_class() -> None:
    torch.manual_seed(0)
    scores, labels = torch.randn(40, 3), torch.tensor([0] * 30 + [1] * 8 + [2] * 2)
    weights = balanced_weights(labels.numpy(), 3)
    classes = torch.stack([F.cross_entropy(scores[labels == c], labels[labels == c]) for c in range(3)])
    torch.testing.assert_close(weighted_cross_entropy(scores, labels, weights), classes.mean())
    halves = [weighted_cross_entropy(scores[i::2], labels[i::2], weights) for i in range(2)]
    torch.testing.assert_close(weighted_cross_entropy(scores, labels, weights), torch.stack(halves).mean())
    assert torch.equal(weighted_cross_entropy(scores, labels, None), F.cross_entropy(scores, labels))


@pytest.mark.parametrize("method", TRAINED)
def test_every_method_weighs_the_classes_in_its_loss(method: str) -> None:
    """Of the terms of its loss, one changes with the weights, and all are as before without them."""
    model = made(method)
    if not any(stage.groups for stage in model.recipe().stages):
        pytest.skip(f"{method} is not trained")
    images, labels = digit_tensors(32)
    last = model.recipe().stages[-1]
    model.before_step(TrainingStep(last.name, 5, 10, 5, 0, 10))
    model.train()

    def terms(weights: torch.Tensor | None) -> dict[str, float]:
        torch.manual_seed(1)
        model.class_weights = weights
        return {name: float(term) for name, term in model.loss(model(images), labels).items()}

    plain, ones = terms(None), terms(torch.ones(10))
    assert ones == pytest.approx(plain, rel=1e-4)
    weighted = terms(torch.linspace(0.5, 3, 10))
    assert [name for name in plain if weighted[name] != pytest.approx(ones[name], rel=1e-6)]
    assert "class_weights" not in model.state_dict()


def test_classes_are_drawn_equally_often() -> None:
    labels = np.array([0] * 90 + [1] * 9 + [2])
    order, copies = balanced_order(labels, np.random.default_rng(0))
    assert sorted(np.bincount(labels[order])) == [33, 33, 34]
    assert len(set(order[labels[order] == 0])) >= 33  # no image of the frequent class twice
    drawn = np.bincount(order[labels[order] == 1])
    assert set(drawn[drawn > 0]) <= {3, 4}
    pairs = set(zip(order.tolist(), copies.tolist(), strict=True))
    assert len(pairs) == 100  # each time as another copy, so that it is augmented in another way


@pytest.mark.parametrize(("world", "accumulate"), [(1, 1), (2, 1), (1, 3)])
def test_the_draw_is_a_function_of_the_step(world: int, accumulate: int) -> None:
    labels = np.arange(103) % 11 // 10

    def batches(done: int, rank: int = 0) -> list[list[tuple[int, int]]]:
        steps = plan(103, 12, world, accumulate)
        return list(StepBatches(steps, 0, 0, lambda: done, rank, labels))

    whole = batches(0)
    for step in range(8):
        assert batches(step) == whole[step * accumulate :]
    alone = [place for batch in StepBatches(plan(103, 12), 0, 0, lambda: 0, labels=labels) for place in batch]
    shared = [place for rank in range(world) for batch in batches(0, rank) for place in batch]
    assert sorted(alone) == sorted(shared)
    assert 40 < sum(labels[index] for _, index in alone) < 60
    assert all(0 <= epoch < 1 << 16 for epoch, _ in alone)


@pytest.mark.parametrize("options", [{"class_weights": "balanced"}, {"balanced_sampling": True}])
def test_a_resumed_run_ends_with_the_same_weights(options: dict[str, object], tmp_path: Path) -> None:
    config = {
        "seed": 5,
        "accelerator": "cpu",
        "progress": False,
        "checkpoint_every_steps": 4,
        "accumulate": 2,
    }
    reference = make()
    fit(reference, digits(), tmp_path / "whole", TrainConfig(**config, refit_on_all=True, **options))
    for stop in range(4, 20, 9):
        run = tmp_path / str(stop)
        with stopping(stop), pytest.raises(Stop):
            fit(make(), digits(), run, TrainConfig(**config, refit_on_all=True, **options))
        model = make()
        fit(model, digits(), run, TrainConfig(**config, refit_on_all=True, resume=True, **options))
        assert same(model, reference), stop
    plain = make()
    fit(plain, digits(), tmp_path / "plain", TrainConfig(**config, refit_on_all=True))
    assert not same(plain, reference)


def test_a_run_is_not_resumed_with_other_weights(tmp_path: Path) -> None:
    config = {"epochs": 2, "batch_size": 32, "accelerator": "cpu", "progress": False}
    fit(make(), digits(), tmp_path, TrainConfig(**config))
    with pytest.raises(UserError, match="class_weights was none, now balanced"):
        check_fit(make(), digits(), tmp_path, TrainConfig(**config, resume=True, class_weights="balanced"))


def test_epochs_are_chosen_by_the_mean_recall() -> None:
    model = made("blackbox").eval()
    images, labels = digit_tensors(60)
    keep = torch.cat([torch.where(labels != 3)[0], torch.where(labels == 3)[0][:1]])
    images, labels = images[keep], labels[keep]
    with torch.no_grad():
        right = model(images).scores.argmax(dim=1) == labels
    recalls = [float(right[labels == c].float().mean()) for c in labels.unique()]
    batch = Batch(images, labels, torch.arange(len(labels)))
    weights = balanced_weights(labels.numpy(), SPEC.num_classes)
    score = validate(model, [batch], torch.device("cpu"), class_weights=weights)
    assert score.accuracy == pytest.approx(float(np.mean(recalls)), abs=1e-6)
    assert validate(model, [batch], torch.device("cpu")).accuracy == pytest.approx(
        float(right.float().mean())
    )


def test_a_linear_probe_weighs_the_classes() -> None:
    generator = np.random.default_rng(0)
    labels = (np.arange(400) < 20).astype(np.int64)
    rows = generator.normal(0, 1, (400, 3)) + labels[:, None] * 0.7
    test = generator.normal(0, 1, (300, 3)) + 0.7
    plain = fit_probe(rows, labels, 2)
    weights = balanced_weights(labels, 2).double().numpy()
    balanced = fit_probe(rows, labels, 2, class_weights=weights)
    found = [
        ((test @ probe.weights.T + probe.bias).argmax(axis=1) == 1).mean() for probe in (plain, balanced)
    ]
    assert found[0] < 0.4 < 0.6 < found[1]
    same = fit_probe(rows, labels, 2, class_weights=np.ones(2))
    np.testing.assert_allclose(same.weights, plain.weights, atol=1e-4)


def test_both_at_once_are_refused() -> None:
    with pytest.raises(UserError, match="would count rare classes twice"):
        TrainConfig(class_weights="balanced", balanced_sampling=True)
