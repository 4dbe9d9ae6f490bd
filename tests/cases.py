"""Every method as a case of the tests that every method must pass.

A method that is registered and has no case here fails `methods/test_every_method.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.config.training import TrainConfig
from resemblance.core.classifier import Classifier
from resemblance.methods.protopool.slots import TEMPERATURE, Slots
from resemblance.methods.registry import build, list_methods
from resemblance.training.engine.fit import FitResult, fit
from tiny import CLASSES, digits

METHODS = list_methods()
OPTIONS = {"accumulate": 2, "checkpoint_every_steps": 4}
SPEC = ModelSpec(CLASSES, ImageSpec(16, 16, 1, (0.3,), (0.35,)))


@dataclass(frozen=True)
class Case:
    """How a method is tried.

    Args:
        settings: of a model so small that it is trained in a second.
        epochs: in all; None where the settings say it.
        alike: settings without what differs from process to process by design, where there are such.
        command: options of ``resemblance train`` on the digits.
        measured: what it measures besides accuracy, and how much of it there must be at least.
        explained: words that its explanations must have.
        page: words that its report must have.
    """

    settings: dict[str, Any]
    epochs: int | None = None
    alike: dict[str, Any] = field(default_factory=dict)
    command: str = ""
    measured: dict[str, float] = field(default_factory=dict)
    explained: tuple[str, ...] = ()
    page: tuple[str, ...] = ()


# Two projections, so that optimisers carry their state over.
PARTS = {
    "encoder": "small",
    "prototypes_per_class": 2,
    "prototype_depth": 8,
    "warm_epochs": 1,
    "joint_epochs": 3,
    "push_every": 2,
    "last_epochs": 1,
}
# Beside a projected prototype the logarithm is so steep that it makes rounding a thousand times larger.
LINEAR = {"similarity": "linear"}
QUICK_PARTS = "--encoder small --prototypes-per-class 2 --prototype-depth 16 --push-every 2 --epochs 6"

CASES = {
    "blackbox": Case({"encoder": "small"}, epochs=4, command="--encoder small --epochs 2"),
    "deformable": Case(
        {
            **{"encoder": "small", "prototypes_per_class": 2, "offset_channels": 4, "last_epochs": 1},
            **{"warm_epochs": 1, "encoder_epochs": 1, "joint_epochs": 2},
        },
        # Beside a feature of zero the root of an offset is so steep that it makes rounding much larger: with the
        # add-on's sigmoid there is none, and few steps leave Adam no time to do the same.
        alike={"addon": "regular", "prototype_depth": 8, "joint_epochs": 1, "encoder_epochs": 0},
        command="--encoder small --prototypes-per-class 2 --offset-channels 4 --upsample 1 --epochs 4",
        page=("Deformable prototypes",),
    ),
    "flint": Case(
        {
            "encoder": "mnist",
            "setting": "cifar",
            "attributes": 6,
        },  # two stages, the second with a new optimiser
        epochs=4,
        command="--epochs 6 --image-size 12",
        measured={"accuracy of the predictor": 0.8, "fidelity": 0.1},  # six short epochs teach it little
        page=("Relevance of attributes to classes", "Local explanations", "Conciseness", "Fidelity, test"),
    ),
    "kmex": Case(
        {"encoder": "small", "prototypes_per_class": 2}, epochs=4, command="--encoder small --epochs 2"
    ),
    "pipnet": Case(
        {
            **{"encoder": "small", "prototypes": 12},
            **{"pretrain_epochs": 2, "head_epochs": 1, "joint_epochs": 2},
        },
        alike={"view_strength": 0.0, "view_shift": 0},
        command="--encoder small --epochs 6",
        measured={"abstention": 0.0, "share of the prototypes that count for an answer": 0.001},
        explained=("presence",),
        page=("Scoring sheet", "How many prototypes decide", "Abstention, test"),
    ),
    "protopnet": Case({**PARTS, "prune": True}, alike=LINEAR, command=QUICK_PARTS + " --prune"),
    "protopool": Case(
        {
            **{"encoder": "small", "slots": 2, "prototype_depth": 8},
            **{"warm_epochs": 1, "joint_epochs": 2, "last_epochs": 2},
        },
        alike={"mixup": False},
        command="--encoder small --slots 3 --prototype-depth 16 --epochs 3",
        page=("Classes that share prototypes",),
    ),
    "protopshare": Case(
        {**PARTS, "joint_epochs": 1, "tune_epochs": 1, "rounds": 2, "keep": 0.4},
        alike=LINEAR,
        command=QUICK_PARTS + " --rounds 2",
        page=("Merged prototypes", "Classes that share prototypes"),
    ),
    "prototree": Case(
        {"encoder": "small", "depth": 3, "prototype_depth": 8},
        epochs=4,
        command="--encoder small --epochs 4 --prototype-depth 16 --depth 4",
        measured=dict.fromkeys(
            ("sample_max accuracy", "sample_max fidelity", "greedy accuracy", "greedy fidelity"), 0.0
        ),
        explained=("path 1: ", "has part"),
        page=("The tree", "Greedy fidelity"),
    ),
    "prototypedl": Case(
        {}, epochs=4, command="--epochs 4", page=("through training", "their reconstructions")
    ),
    "protovae": Case(
        {"latent": 6, "prototypes_per_class": 2},
        epochs=4,
        alike={"sample": False, "terms": "means"},
        command="--epochs 1 --latent 32",
        page=("Prototypes, decoded", "their reconstructions", "nearest prototypes", "through training"),
    ),
    "senn": Case(
        {"concepts": 4, "directions": 2},
        epochs=4,
        alike={"directions": 0, "dropout": 0.0},
        command="--epochs 1 --directions 2",
        page=("Concepts", "What concepts do for classes", "reconstructions", "Stability"),
    ),
    "tesnet": Case({**PARTS, "prune": True}, command=QUICK_PARTS + " --prune", page=("Subspaces",)),
}


def case_of(method: str) -> Case:
    """The case of a method; a method without one fails with this line."""
    assert method in CASES, f"{method} is registered but has no case in tests/cases.py: add one"
    return CASES[method]


def made(method: str, seed: int = 0, **settings: Any) -> Classifier:
    """An untrained model."""
    torch.manual_seed(seed)
    return build(method, {**case_of(method).settings, **settings}, SPEC)


def train(model: Classifier, run: Path, images: int = 96, **options: Any) -> FitResult:
    """Train the model of a case on some digits."""
    config = {"seed": 3, "accelerator": "cpu", "batch_size": 32, "epochs": case_of(model.name).epochs}
    return fit(model, digits(images, 40), run, TrainConfig(**{**config, "progress": False, **options}))


class Noiseless(Slots):
    """Slots that are as distributed, without a draw; processes draw for themselves."""

    def draw(self, scale):
        return (scale * self.logits.float() / TEMPERATURE).softmax(dim=2)


def alike(method: str, **settings: Any) -> Classifier:
    """A model that is to train in two processes as in one: without batch norm, dropout and draws."""
    model = made(method, **case_of(method).alike, **settings)
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.modules.batchnorm._BatchNorm):
                setattr(module, name, nn.Identity())
            elif isinstance(child, nn.modules.dropout._DropoutNd):
                child.p = 0.0
            elif isinstance(child, Slots):
                child.__class__ = Noiseless
    return model
