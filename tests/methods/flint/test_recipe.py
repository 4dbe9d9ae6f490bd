"""Recipe of FLINT, and the epochs in which its terms start."""

from __future__ import annotations

import pytest

from methods.flint.small_models import make
from recipe_lines import recipe_lines
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.core.training_step import TrainingStep
from resemblance.methods.flint.chosen_setting import choose_setting
from resemblance.methods.flint.config import FLINTConfig

# Weights by epoch as in the fact sheet: input fidelity, output fidelity, sparsity, entropies.
SCHEDULES = {
    "mnist": {
        1: (0.8, 0, 0, 0),
        2: (0.8, 0, 0, 0),
        3: (0.8, 0.5, 0.1, 0),
        4: (0.8, 0.5, 0.1, 0),
        5: (0.8, 0.5, 0.1, 0.2),
    },
    "quickdraw": {
        1: (5, 0, 0, 0),
        2: (5, 0, 0.02, 0),
        3: (5, 0.1, 0.3, 0),
        4: (5, 0.1, 0.3, 0.1),
        12: (5, 0.1, 0.3, 0.1),
    },
    "cifar": {
        1: (2, 0, 0, 0),
        2: (2, 0, 0.001, 0),
        3: (2, 0.6, 0.15, 0),
        4: (2, 0.6, 0.15, 0.2),
        18: (2, 0.6, 0.15, 0.2),
    },
    "kmex": {1: (0.8, 0, 0, 0), 3: (0.8, 1, 0.1, 0), 5: (0.8, 1, 0.1, 0.2)},
}


@pytest.mark.parametrize("setting", SCHEDULES)
def test_terms_start_in_the_epochs_of_the_schedule(setting):
    model = make(encoder="mnist", setting=setting).train()
    stage = model.recipe().stages[0]
    for epoch, expected in SCHEDULES[setting].items():
        for step in (0, 6):  # throughout the epoch
            model.before_step(TrainingStep(stage.name, epoch - 1, stage.epochs, 0, step, 7))
            weights = [model.weight(name) for name in ("input_fidelity", "output_fidelity", "sparsity")]
            weights += [model.weight("conciseness"), model.weight("diversity")]
            assert weights == pytest.approx([*expected, expected[-1]])
            assert model.weight("prediction") == (0.8 if setting == "kmex" else 1.0)


def test_a_shorter_training_has_all_terms_at_the_same_shares_of_it():
    model = make(encoder="mnist").train()
    weights = []
    for epoch in range(3):  # instead of 12: terms start at 2/12 and 4/12
        for step in range(4):
            model.before_step(TrainingStep("train", epoch, 3, 0, step, 4))
            weights.append((model.weight("output_fidelity"), model.weight("diversity")))
    assert weights == [(0, 0)] * 2 + [(0.5, 0)] * 2 + [(0.5, 0.2)] * 8


def test_all_terms_are_on_in_evaluation_and_after_the_first_stage():
    model = make(size=(9, 9), channels=3, encoder="resnet").train()
    assert [stage.epochs for stage in model.recipe().stages] == [18, 7]
    model.before_step(TrainingStep("train", 0, 18, 0, 0, 5))
    assert model.weight("diversity") == 0
    model.before_step(TrainingStep("slower", 0, 7, 18, 0, 5))
    assert model.weight("diversity") == 0.2
    model.before_step(TrainingStep("train", 0, 18, 0, 0, 5))
    assert model.eval().weight("diversity") == 0.2


@pytest.mark.parametrize(
    ("setting", "attributes", "threshold"),
    [("mnist", 25, 0.1), ("quickdraw", 24, 0.2), ("cifar", 36, 0.2), ("kmex", 5 * 3, 0.1)],
)
def test_attributes_and_threshold_are_the_settings(setting, attributes, threshold):
    model = make(encoder="mnist", setting=setting)
    assert len(model.prototypes) == attributes
    assert model.setting.threshold == threshold


@pytest.mark.parametrize(
    ("size", "channels", "name", "count"),
    [((28, 28), 1, "mnist", 25), ((32, 32), 3, "resnet", 36), ((64, 64), 3, "resnet18", 20)],
)
def test_predictor_and_setting_follow_the_images(size, channels, name, count):
    spec = ModelSpec(tuple("abcd"), ImageSpec(*size, channels, (0.5,) * channels, (0.2,) * channels))
    predictor, setting = choose_setting(FLINTConfig(), spec)
    assert (predictor, setting.attributes) == (name, count)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"attributes": 0}, "--attributes must be at least 1"),
        ({"sparsity": -1.0}, "--sparsity must be at least 0"),
        ({"setting": "cub"}, "--setting: .cub. is not one of auto, mnist"),
        ({"encoder": "mnist", "weights": "pretrained"}, "no pretrained weights for --encoder mnist"),
        (
            {"encoder": "resnet", "weights": "file.pth"},
            "--encoder resnet cannot be used with --weights or --cut",
        ),
        ({"encoder": "mnist", "size": (3, 28)}, "4 to 256 pixels"),
        ({"encoder": "resnet", "size": (28, 7)}, "at least 8 pixels"),
    ],
)
def test_impossible_settings_are_refused_in_one_line(wrong, message):
    with pytest.raises(UserError, match=message) as error:
        make(**wrong)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_the_recipe_is_the_papers(variant):
    rates = "predictor {0}, attributes {0}, decoder {0}, interpreter {0}, constant"
    ends = "; then relevance, usage"
    mnist = make(10, variant=variant)
    assert recipe_lines(mnist.recipe()) == [
        "batches of 16, augment none",
        f"train: 12 epochs of adam, {rates.format(0.0001)}{ends}",
    ]
    quickdraw = make(10, encoder="resnet", variant=variant)
    assert recipe_lines(quickdraw.recipe()) == [
        "batches of 64, augment none",
        f"train: 12 epochs of adam, {rates.format(0.0001)}{ends}",
    ]
    cifar = make(10, (32, 32), 3, variant=variant)
    assert recipe_lines(cifar.recipe()) == [
        "batches of 64, augment crop",
        f"train: 18 epochs of adam, {rates.format(0.0001)}",
        f"slower: 7 epochs of adam, {rates.format('4e-05')}{ends}; fresh",
    ]
    kmex = make(10, encoder="small", variant=variant)
    assert recipe_lines(kmex.recipe()) == [
        "batches of 128, augment none",
        f"train: 10 epochs of adam, {rates.format(0.0001)}{ends}",
    ]
